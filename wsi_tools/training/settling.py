"""What a trained model's own answers fix for ever: baseline hazard, risk cut, operating point."""

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import DataError
from wsi_tools.metrics import Reference, choose_threshold
from wsi_tools.tasks import AnyTask, Classification, CoxSurvival, DiscreteSurvival
from wsi_tools.training.loop import Learning, Part

__all__ = ["settle"]


def settle(learning: Learning, train: Part, val: Part | None) -> tuple[AnyTask, Reference]:
    """Put the best weights back, and fix what follows from them on training and validation cases.

    Returns:
        the task, with the baseline hazard where it has one; and what evaluation takes from this
        fold: censoring, tau and median risk of the training part, or the operating threshold
        chosen on validation.
    """
    learning.model.load_state_dict(learning.best)
    task = learning.task
    if isinstance(task, CoxSurvival | DiscreteSurvival):
        logits = learning.logits(train)  # (n, width)
        settled = task.settled(logits, train.targets)
        risk = np.array([settled.read(each)["risk"] for each in logits])
        time, event = train.targets.numpy().T
        return settled, Reference.of_training(time, event.astype(bool), risk)
    if isinstance(task, Classification) and task.width == 2 and val is not None:
        return task, Reference(threshold=_threshold(learning, task, val))
    return task, Reference()


def _threshold(learning: Learning, task: Classification, val: Part) -> float | None:
    """The operating point on validation patients; None where they are of one class."""
    positive = [task.read(each)[task.columns[1]] for each in learning.logits(val)]
    patients = [case.patient_id for case in val.cases]
    _, place = np.unique(patients, return_inverse=True)
    prob, truth = (_mean_by(place, each) for each in (positive, val.targets.numpy()))
    try:
        return choose_threshold(truth >= 0.5, prob)
    except DataError:
        return None


def _mean_by(place: NDArray[np.intp], values: object) -> NDArray[np.float64]:
    summed = np.bincount(place, np.asarray(values, dtype=np.float64))
    return summed / np.bincount(place)
