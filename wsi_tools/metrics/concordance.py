"""How well risks order follow-ups: Harrell's and Uno's C, and time-dependent AUC.

A higher risk means an earlier event, always; no orientation is ever chosen by the score. A pair is
comparable where one patient is known to have outlived the other: the other had an event, and this
one was seen longer, or was censored at the same time. Two events at one time are not comparable;
equal risks count a half. ``weights (draws, n)`` say how often each row counts in each draw.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array, Ratio
from wsi_tools.metrics.reference import Reference

__all__ = ["auc_at", "harrell", "uno"]

BLOCK = 256  # cases compared at once: 20 MB of comparisons with 10,000 patients


def harrell(time: Array, event: NDArray[np.bool_], risk: Array, weights: Array) -> Ratio:
    """Harrell's C: the share of comparable pairs that the risks ``(n,)`` order.

    Harrell et al., JAMA 1982.
    """
    pairs = _outlived(time, event)
    return _concordance(pairs, np.ones(len(pairs.cases)), risk, weights)


def uno(
    time: Array,
    event: NDArray[np.bool_],
    risk: Array,
    weights: Array,
    reference: Reference,
) -> Ratio:
    """Uno's C: as Harrell's, a case at t < tau weighing 1 / G(t-)², free of the censoring.

    Uno et al., Stat Med 2011, eq. 6. G and tau are the training fold's.
    """
    pairs = _outlived(time, event & (time < reference.tau))
    return _concordance(pairs, reference.uncensored(pairs.times) ** -2.0, risk, weights)


def auc_at(
    horizon: float,
    time: Array,
    event: NDArray[np.bool_],
    risk: Array,
    weights: Array,
    reference: Reference,
) -> Ratio:
    """Cumulative/dynamic AUC: who had the event by the horizon, against who was seen beyond it.

    A case at t weighs 1 / G(t-) (Hung and Chiang, Can J Stat 2010); G is the training fold's.
    """
    order = np.argsort(time, kind="stable")
    cases = np.flatnonzero(event[order] & (time[order] <= horizon))
    beyond = np.searchsorted(time[order], horizon, side="right")
    known = reference.uncensored(time[order][cases])
    first = np.full(len(cases), beyond if (known > 0).all() else len(time))
    pairs = _Pairs(order, cases, first, time[order][cases])
    return _concordance(pairs, 1 / np.where(known > 0, known, 1), risk, weights)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Comparable pairs of rows that were ordered by time: a case with all rows from `first` on.

    Attributes:
        order: ``(n,)`` the row at each place.
        cases: ``(c,)`` places of the cases.
        first: ``(c,)`` the first place that a case is compared with.
        times: ``(c,)`` of the cases.
    """

    order: NDArray[np.int64]
    cases: NDArray[np.int64]
    first: NDArray[np.int64]
    times: Array


def _outlived(time: Array, event: NDArray[np.bool_]) -> _Pairs:
    """Every event with those known to have outlived it."""
    order = np.lexsort((~event, time))  # at one time, events stand before the censored
    cases = np.flatnonzero(event[order])
    times = time[order][cases]
    ends = np.searchsorted(times, times, side="right")  # events up to and at this time
    before = np.searchsorted(time[order], times, side="left")
    first = before + ends - np.searchsorted(times, times, side="left")
    return _Pairs(order, cases, first, times)


def _concordance(pairs: _Pairs, case_weight: Array, risk: Array, weights: Array) -> Ratio:
    """Add up the cases' wins over those they are compared with."""
    counts = weights[:, pairs.order]
    later = np.pad(counts[:, ::-1].cumsum(axis=1)[:, ::-1], ((0, 0), (0, 1)))  # (draws, n + 1)
    case_counts = counts[:, pairs.cases] * case_weight  # (draws, c)
    wins = _wins(pairs, np.unique(risk, return_inverse=True)[1][pairs.order], counts)
    return Ratio(
        (case_counts * wins).sum(axis=1)[None],
        (case_counts * later[:, pairs.first]).sum(axis=1)[None],
        int((len(risk) - pairs.first).sum()),
    )


def _wins(pairs: _Pairs, rank: NDArray[np.int64], counts: Array) -> Array:
    """How many of its later rows each case outranks, ``(draws, c)``; a tie counts a half."""
    wins = np.zeros((len(counts), len(pairs.cases)))
    places = np.arange(len(rank))
    whole = counts.astype(np.float32)  # counts and halves: exact up to 8 million
    for start in range(0, len(pairs.cases), BLOCK):
        block = slice(start, start + BLOCK)
        first, case = pairs.first[block, None], rank[pairs.cases[block], None]
        begin = first.min()
        won = np.sign(case - rank[None, begin:]).astype(np.float32) / 2 + np.float32(0.5)
        won *= places[None, begin:] >= first
        wins[:, block] = whole[:, begin:] @ won.T
    return wins
