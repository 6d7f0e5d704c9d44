"""The operating point: the probability from which a patient is called positive."""

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import DataError
from wsi_tools.metrics.ranking import tally
from wsi_tools.metrics.ratio import Array

__all__ = ["choose_threshold"]


def choose_threshold(truth: NDArray[np.bool_], prob: Array) -> float:
    """The threshold with the best balanced accuracy on ``(n,)`` validation patients.

    It stands in the middle between two neighbouring probabilities, where it moves least under
    noise; of equal ones the lowest is taken (Youden, Cancer 1950: the same choice).

    Raises:
        DataError: the validation patients are of one class, or all of one probability.
    """
    if not truth.any() or truth.all():
        raise DataError("operating point: the validation patients are of one class; enlarge --val")
    table = tally(truth, prob, np.ones((1, len(truth))))
    if len(table.score) < 2:
        raise DataError("operating point: all validation patients have the same probability")
    missed = table.positive[0].cumsum()[:-1] / table.positive.sum()
    spared = table.negative[0].cumsum()[:-1] / table.negative.sum()
    best = int(np.argmax(spared - missed))
    return float(table.score[best : best + 2].mean())
