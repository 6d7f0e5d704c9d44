"""The Kaplan-Meier curve, and the log-rank test between two groups."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array

__all__ = ["KaplanMeier", "kaplan_meier", "log_rank_p"]


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """A product-limit curve: a row per distinct time, in the unit of the times.

    Attributes:
        time: ``(k,)`` increasing.
        at_risk: ``(k,)`` patients seen up to this time.
        events: ``(k,)`` of them, with the event at this time.
        survival: ``(k,)`` from this time on.
    """

    time: Array
    at_risk: NDArray[np.int64]
    events: NDArray[np.int64]
    survival: Array

    def at(self, times: Array) -> Array:
        """Survival at and beyond each of the times; 1 before the first."""
        steps = np.concatenate(([1.0], self.survival))
        return steps[np.searchsorted(self.time, times, side="right")]


def kaplan_meier(time: Array, event: NDArray[np.bool_]) -> KaplanMeier:
    """The curve of ``(n,)`` follow-ups (Kaplan and Meier, JASA 1958)."""
    distinct, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=event, minlength=len(distinct)).astype(np.int64)
    seen = np.bincount(place, minlength=len(distinct))
    at_risk = seen[::-1].cumsum()[::-1]
    return KaplanMeier(distinct, at_risk, events, np.cumprod(1 - events / at_risk))


def log_rank_p(time: Array, event: NDArray[np.bool_], group: NDArray[np.bool_]) -> float:
    """Two-sided p of the log-rank test between two groups ``(n,)``; NaN where one is empty.

    Mantel, Cancer Chemother Rep 1966; the variance is hypergeometric.
    """
    both, one = kaplan_meier(time, event), kaplan_meier(time[group], event[group])
    place = np.searchsorted(both.time, time[group])
    seen = np.bincount(place, minlength=len(both.time))
    at_risk = seen[::-1].cumsum()[::-1]
    expected = both.events * at_risk / both.at_risk
    spare = np.maximum(both.at_risk - 1, 1)  # with one patient at risk the variance is 0 anyway
    shares = (1 - at_risk / both.at_risk) * (both.at_risk - both.events) / spare
    variance = float((expected * shares).sum())
    if variance <= 0:
        return math.nan
    z = (one.events.sum() - expected.sum()) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))
