"""Patients drawn again with replacement, and what becomes of a metric."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array

__all__ = ["PatientDraws", "interval"]

CELLS = 1 << 22  # counts held at once: 32 MB


@dataclass(frozen=True)
class PatientDraws:
    """Bootstrap samples of patients (Efron, Ann Stat 1979).

    A patient who is drawn brings along every row of theirs, of all folds, repeats and seeds.

    Attributes:
        count: of samples.
        seed: of the generator; the same for two runs that are compared.
    """

    count: int = 1000
    seed: int = 0

    def of(self, patients: NDArray[np.str_]) -> Iterator[Array]:
        """How often each row ``(n,)`` counts, ``(draws, n)``, some draws at a time."""
        names, place = np.unique(patients, return_inverse=True)
        generator = np.random.default_rng(self.seed)
        chance = np.full(len(names), 1 / len(names))
        step = max(1, CELLS // len(patients))
        for start in range(0, max(self.count, 1), step):  # no draw still has a shape
            size = min(step, self.count - start)
            yield generator.multinomial(len(names), chance, size)[:, place].astype(np.float64)


def interval(values: Array) -> tuple[float, float]:
    """The middle 95 % of the draws ``(draws,)``; NaN where most draws are undefined."""
    defined = values[~np.isnan(values)]
    if 2 * len(defined) <= len(values):
        return np.nan, np.nan
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)
