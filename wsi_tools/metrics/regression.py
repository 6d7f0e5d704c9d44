"""How near predicted numbers come to the true ones.

``weights (draws, n)`` say how often each row counts in each draw.
"""

import numpy as np

from wsi_tools.metrics.ratio import Array, Ratio

__all__ = ["absolute_error", "r_squared", "spearman"]


def absolute_error(truth: Array, value: Array, weights: Array) -> Ratio:
    """Mean absolute error, in the unit of the truth ``(n,)``."""
    return Ratio((weights @ np.abs(truth - value))[None], weights.sum(axis=1)[None])


def r_squared(truth: Array, value: Array, weights: Array) -> Ratio:
    """Share of the variance that is explained; below 0 worse than the mean, undefined without."""
    total = np.maximum(weights.sum(axis=1), 1)  # a draw without any row
    mean = weights @ truth / total
    variance = np.einsum("dn,dn->d", weights, (truth - mean[:, None]) ** 2)
    return Ratio((variance - weights @ (truth - value) ** 2)[None], variance[None])


def spearman(truth: Array, value: Array, weights: Array) -> Ratio:
    """Correlation of the ranks, ties at their middle; folds add up by their rows."""
    x, y = _ranks(truth, weights), _ranks(value, weights)
    rows = weights.sum(axis=1)
    across, along_x, along_y = (
        np.einsum("dn,dn,dn->d", weights, a, b) for a, b in ((x, y), (x, x), (y, y))
    )
    scale = np.sqrt(along_x * along_y)
    correlation = np.divide(across, scale, out=np.zeros_like(scale), where=scale > 0)
    return Ratio((rows * correlation)[None], np.where(scale > 0, rows, 0)[None])


def _ranks(values: Array, weights: Array) -> Array:
    """Ranks ``(draws, n)`` about their mean."""
    order = np.argsort(values, kind="stable")
    _, first, place = np.unique(values[order], return_index=True, return_inverse=True)
    mass = np.add.reduceat(weights[:, order], first, axis=1)
    middle = mass.cumsum(axis=1) - mass / 2 - mass.sum(axis=1, keepdims=True) / 2
    back = np.empty(len(values), dtype=np.int64)
    back[order] = place
    centred: Array = middle[:, back]
    return centred
