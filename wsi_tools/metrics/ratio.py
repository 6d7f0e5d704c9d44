"""A metric as a ratio that folds add up, over many resamplings at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Ratio"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ratio:
    """Numerators and denominators of a metric's parts (classes, labels), per draw.

    A metric is the mean over its parts; it is undefined, NaN, where a part has nothing to divide
    by. Adding the ratios of folds pools what was counted inside each.

    Attributes:
        top: ``(parts, draws)``.
        bottom: ``(parts, draws)``, never negative.
        pairs: of patients that were compared with every patient counted once; None for metrics
            that compare none.
    """

    top: Array
    bottom: Array
    pairs: int | None = None

    @property
    def value(self) -> Array:
        """The metric ``(draws,)``."""
        undefined = np.full_like(self.top, np.nan)
        parts = np.divide(self.top, self.bottom, out=undefined, where=self.bottom > 0)
        mean: Array = parts.mean(axis=0)
        return mean

    def __add__(self, other: "Ratio") -> "Ratio":
        pairs = None if self.pairs is None else self.pairs + (other.pairs or 0)
        return Ratio(self.top + other.top, self.bottom + other.bottom, pairs)
