"""Whether probabilities can be taken at their word: slope, intercept, Brier score.

``weights (draws, n)`` say how often each row counts in each draw.
"""

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array, Ratio

__all__ = ["brier", "intercept", "slope"]

NEWTON_STEPS = 50
CLOSEST = 1e-6  # probabilities nearer to 0 or 1 are moved here before the logit


def brier(truth: NDArray[np.bool_], prob: Array, weights: Array) -> Ratio:
    """Mean squared distance ``(1, draws)`` of probabilities ``(n, parts)``, summed over parts."""
    loss = ((prob - truth) ** 2).sum(axis=1)
    return Ratio((weights @ loss)[None], weights.sum(axis=1)[None])


def slope(truth: NDArray[np.bool_], prob: Array, weights: Array) -> Ratio:
    """Slope of the logistic regression of truth ``(n,)`` on the logit.

    1 is right, below 1 too bold (Cox, Biometrika 1958). Undefined where the probabilities part
    positives from negatives, since the slope is infinite there.
    """
    x = _logit(prob)
    defined = _overlap(truth, x, weights)
    return _fitted(_newton_slope(truth.astype(np.float64), x, weights), defined)


def intercept(truth: NDArray[np.bool_], prob: Array, weights: Array) -> Ratio:
    """Shift of the logit that would make the mean right, at slope 1.

    0 is right, below 0 predicts too often (calibration in the large; Steyerberg et al.,
    Epidemiology 2010). Undefined for one class alone.
    """
    x, y = _logit(prob), truth.astype(np.float64)
    shift = np.zeros(len(weights))
    for _ in range(NEWTON_STEPS):
        mean = _sigmoid(shift[:, None] + x)
        step = _quotient((weights * (y - mean)).sum(axis=1), (weights * mean * (1 - mean)).sum(1))
        shift = shift + np.clip(step, -2, 2)  # far from the root Newton would overshoot
    both = (weights @ y > 0) & (weights @ (1 - y) > 0)
    return _fitted(shift, both)


def _newton_slope(y: Array, x: Array, weights: Array) -> Array:
    """Slopes by Newton's method from slope 0 and the prevalence."""
    share = np.clip(_quotient(weights @ y, weights.sum(axis=1)), CLOSEST, 1 - CLOSEST)
    line = np.stack((_logit(share), np.zeros(len(weights))))  # (2, draws): level, slope
    for _ in range(NEWTON_STEPS):
        mean = _sigmoid(line[0][:, None] + line[1][:, None] * x)
        step = _newton_step(weights * (y - mean), weights * mean * (1 - mean), x)
        line = line + np.clip(step, -2, 2)
    return np.asarray(line[1])


def _newton_step(residual: Array, variance: Array, x: Array) -> Array:
    """Solve the two normal equations of each draw, ``(2, draws)``."""
    level, tilt = residual.sum(axis=1), residual @ x
    v0, v1, v2 = variance.sum(axis=1), variance @ x, variance @ x**2
    determinant = v0 * v2 - v1 * v1
    return np.stack(
        (
            _quotient(v2 * level - v1 * tilt, determinant),
            _quotient(v0 * tilt - v1 * level, determinant),
        )
    )


def _overlap(truth: NDArray[np.bool_], x: Array, weights: Array) -> NDArray[np.bool_]:
    """Whether some positive lies below a negative and some negative below a positive."""
    present = weights > 0

    def ends(rows: NDArray[np.bool_]) -> tuple[Array, Array]:
        within = present & rows
        low = np.where(within, x, np.inf).min(axis=1, initial=np.inf)
        return low, np.where(within, x, -np.inf).max(axis=1, initial=-np.inf)

    (low_positive, high_positive), (low_negative, high_negative) = ends(truth), ends(~truth)
    return (low_positive < high_negative) & (low_negative < high_positive)


def _fitted(values: Array, defined: NDArray[np.bool_]) -> Ratio:
    return Ratio(np.where(defined, values, 0)[None], defined[None].astype(np.float64))


def _quotient(top: Array, bottom: Array) -> Array:
    """The quotient, 0 where there is nothing to divide by."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _logit(prob: Array) -> Array:
    inside = np.clip(prob, CLOSEST, 1 - CLOSEST)
    return np.log(inside) - np.log1p(-inside)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))  # never overflows
