"""How predicted classes agree with the true ones, all from weighted confusion tables.

``weights (draws, n)`` say how often each row counts in each draw.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array, Ratio

__all__ = ["Confusion", "confusion"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class was called each class.

    Attributes:
        counts: ``(draws, classes, classes)``, true class before predicted class.
    """

    counts: Array

    @property
    def true(self) -> Array:
        """``(classes, draws)`` rows of each class."""
        return _summed("dij->id", self.counts)

    @property
    def called(self) -> Array:
        """``(classes, draws)`` rows that were called each class."""
        return _summed("dij->jd", self.counts)

    @property
    def right(self) -> Array:
        """``(classes, draws)`` rows of each class that were called it."""
        return _summed("dii->id", self.counts)

    def recall(self) -> Ratio:
        """Share of each class that was called it; the mean is the balanced accuracy."""
        return Ratio(self.right, self.true)

    def precision(self) -> Ratio:
        """Share of right ones among those called each class."""
        return Ratio(self.right, self.called)

    def f1(self) -> Ratio:
        """Harmonic mean of precision and recall of each class."""
        return Ratio(2 * self.right, self.true + self.called)

    def accuracy(self) -> Ratio:
        """Share of right calls."""
        return Ratio(self.right.sum(axis=0)[None], self.true.sum(axis=0)[None])

    def kappa(self, *, ordered: bool) -> Ratio:
        """Cohen's kappa; between ordered classes, a disagreement costs its squared distance."""
        ranks = np.arange(self.counts.shape[1])
        distance = np.subtract.outer(ranks, ranks) ** 2
        cost = (distance if ordered else distance > 0).astype(np.float64)
        total = np.maximum(self.counts.sum(axis=(1, 2)), 1)  # an empty draw has nothing expected
        expected = np.einsum("id,jd,ij->d", self.true, self.called, cost) / total
        found = np.einsum("dij,ij->d", self.counts, cost)
        return Ratio((expected - found)[None], expected[None])


def confusion(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, weights: Array
) -> Confusion:
    """Count ``(n,)`` true and predicted class indices."""
    cells = np.eye(classes * classes)[truth * classes + predicted]  # (n, classes²)
    return Confusion((weights @ cells).reshape(-1, classes, classes))


def _summed(axes: str, counts: Array) -> Array:
    total: Array = np.einsum(axes, counts)
    return total
