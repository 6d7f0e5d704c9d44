"""How well scores rank the positives above the negatives, and whether they are frequencies.

Every function takes ``weights (draws, n)``: how often each row counts in each draw; a draw of ones
is the plain metric. Truth is ``(n, parts)`` bool and scores ``(n, parts)``, a part per class or
label.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array, Ratio

__all__ = ["Tally", "auprc", "auroc", "calibration_error", "tally"]

BINS = 10


@dataclass(frozen=True, eq=False)
class Tally:
    """Weights of the positives and negatives at each distinct score.

    Attributes:
        score: ``(g,)`` increasing.
        positive: ``(draws, g)``.
        negative: ``(draws, g)``.
    """

    score: Array
    positive: Array
    negative: Array


def tally(truth: NDArray[np.bool_], score: Array, weights: Array) -> Tally:
    """Gather one part's rows ``(n,)`` by their score."""
    order = np.argsort(score, kind="stable")
    distinct, first = np.unique(score[order], return_index=True)
    sorted_weights = weights[:, order]
    positive = np.add.reduceat(sorted_weights * truth[order], first, axis=1)
    return Tally(distinct, positive, np.add.reduceat(sorted_weights, first, axis=1) - positive)


def auroc(truth: NDArray[np.bool_], score: Array, weights: Array) -> Ratio:
    """Share of the (positive, negative) pairs that the scores order; a tie counts a half."""
    pairs = int((truth.sum(axis=0) * (~truth).sum(axis=0)).sum())
    return _by_part(_auroc, truth, score, weights, pairs)


def auprc(truth: NDArray[np.bool_], score: Array, weights: Array) -> Ratio:
    """Average precision: mean over the positives of the precision at their score, unsmoothed."""
    return _by_part(_average_precision, truth, score, weights)


def calibration_error(truth: NDArray[np.bool_], score: Array, weights: Array) -> Ratio:
    """Mean distance of predicted from observed frequency over 10 bins of equal mass.

    Rows of equal score share a bin (Nguyen and O'Connor, EMNLP 2015: adaptive bins).
    """
    return _by_part(_calibration_error, truth, score, weights)


def equal_mass_bins(mass: Array, bins: int = BINS) -> NDArray[np.int64]:
    """The bin ``(draws, g)`` of each score, by the middle of its share of the mass."""
    middle = mass.cumsum(axis=1) - mass / 2
    total = np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)  # a draw without any row
    bin_of: NDArray[np.int64] = np.minimum((bins * middle / total).astype(np.int64), bins - 1)
    return bin_of


Counted = Callable[[Tally], tuple[Array, Array]]


def _by_part(
    count: Counted,
    truth: NDArray[np.bool_],
    score: Array,
    weights: Array,
    pairs: int | None = None,
) -> Ratio:
    columns = zip(truth.T, score.T, strict=True)
    counted = [count(tally(positive, each, weights)) for positive, each in columns]
    tops, bottoms = zip(*counted, strict=True)
    return Ratio(np.stack(tops), np.stack(bottoms), pairs)


def _auroc(table: Tally) -> tuple[Array, Array]:
    below = table.negative.cumsum(axis=1) - table.negative / 2
    pairs = table.positive.sum(axis=1) * table.negative.sum(axis=1)
    return (table.positive * below).sum(axis=1), pairs


def _average_precision(table: Tally) -> tuple[Array, Array]:
    found = table.positive[:, ::-1].cumsum(axis=1)[:, ::-1]  # at this score and above
    called = found + table.negative[:, ::-1].cumsum(axis=1)[:, ::-1]
    precision = found / np.maximum(called, 1)  # weights are counts: none called, none found
    both = (table.positive.sum(axis=1) > 0) & (table.negative.sum(axis=1) > 0)
    return (table.positive * precision).sum(axis=1) * both, table.positive.sum(axis=1) * both


def _calibration_error(table: Tally) -> tuple[Array, Array]:
    mass = table.positive + table.negative
    surplus = table.positive - mass * table.score
    bins = equal_mass_bins(mass)
    by_bin = [np.where(bins == each, surplus, 0).sum(axis=1) for each in range(BINS)]
    return np.abs(by_bin).sum(axis=0), mass.sum(axis=1)
