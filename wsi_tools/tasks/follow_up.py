"""Follow-ups as targets, and the horizons at which survival is told."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from wsi_tools.errors import DataError

__all__ = ["columns_at", "comparable", "follow_up", "quantiles_of_events"]


def follow_up(times: ArrayLike, events: ArrayLike) -> Tensor:
    """The target ``(n, 2)`` float64 of survival tasks: time, and 1 where the event was seen."""
    return torch.from_numpy(np.column_stack((times, events)).astype(np.float64))


def quantiles_of_events(times: ArrayLike, events: ArrayLike, parts: int) -> tuple[float, ...]:
    """Inner quantiles of the uncensored times, equal ones merged.

    Args:
        times: ``(patients,)`` of the training fold.
        events: ``(patients,)`` whether the event was seen.
        parts: into how many parts of equal size the quantiles divide the times.

    Raises:
        DataError: no event among them.
    """
    seen = np.asarray(times, dtype=np.float64)[np.asarray(events, dtype=bool)]
    if not seen.size:
        raise DataError(
            "survival: every training patient is censored; check --event COL=VALUE, "
            "or give the fold patients with events"
        )
    inner = np.arange(1, parts) / parts
    return tuple(np.unique(np.quantile(seen, inner)).tolist())


def columns_at(horizons: Sequence[float]) -> tuple[str, ...]:
    """The risk, and a column per horizon, in the unit of the times."""
    return ("risk", *(f"surv_{time:.10g}" for time in horizons))


def comparable(target: Tensor) -> bool:
    """Whether any patient of ``(n, 2)`` follow-ups is known to have outlived another."""
    times, seen = target[:, 0], target[:, 1].bool()
    outlived = times[:, None] < times[None, :]  # (n, n)
    outlived |= (times[:, None] == times[None, :]) & ~seen[None, :]
    return bool((outlived & seen[:, None]).any())
