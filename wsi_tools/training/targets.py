"""From what a cohort knows of its cases to what a loss compares with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from wsi_tools import cohort, tasks
from wsi_tools.cohort import Case, FollowUp, Target
from wsi_tools.errors import DataError, InputError
from wsi_tools.tasks import AnyTask, Balance, CensorInBin

__all__ = ["Goal", "Loss", "make_task", "targets_of"]

Loss = Literal["ce", "mse", "nll", "cox"]


@dataclass(frozen=True)
class Goal:
    """How a target is learnt.

    Attributes:
        loss: ``ce`` for classes and labels, ``mse`` for numbers, ``nll`` (a hazard per time bin)
            or ``cox`` for follow-ups; None takes the first that fits.
        bins: of time.
        censor_in_bin: what a patient who was censored inside a bin is credited with.
        balance: how classes are made equally frequent.
        ordered: the classes ascend.

    Raises:
        InputError: an unknown name.
    """

    loss: Loss | None = None
    bins: int = 4
    censor_in_bin: CensorInBin = "half"
    balance: Balance = "none"
    ordered: bool = False

    def __post_init__(self) -> None:
        _require("--loss", self.loss, (None, "ce", "mse", "nll", "cox"))
        _require("--censor-in-bin", self.censor_in_bin, ("end", "half"))
        _require("--balance", self.balance, ("none", "loss", "sampler"))


def make_task(target: Target, goal: Goal, train: Sequence[Case]) -> AnyTask:
    """The task, with what is fixed by the training patients: weights, bins, scale.

    Raises:
        InputError: the loss, or balancing, does not fit the target.
        DataError: a class or an event that is needed has no training patient.
    """
    _refuse_unfit(target, goal)
    known = _per_patient(train)
    if isinstance(target, cohort.Classification):
        return tasks.Classification.of_training(
            target.classes, known, balance=goal.balance, ordered=goal.ordered
        )
    if isinstance(target, cohort.Multilabel):
        return tasks.Multilabel.of_training(target.labels, known, balance=goal.balance)
    if isinstance(target, cohort.Regression):
        return tasks.Regression.of_training(known)
    times, events = known.unbind(dim=1)
    if goal.loss == "cox":
        return tasks.CoxSurvival.of_training(times, events, bins=goal.bins)
    return tasks.DiscreteSurvival.of_training(
        times, events, bins=goal.bins, censor_in_bin=goal.censor_in_bin
    )


def targets_of(cases: Sequence[Case]) -> Tensor:
    """The targets ``(n, ...)`` of cases: int64 classes, float64 numbers, labels or follow-ups.

    Raises:
        DataError: nothing is known of a case.
    """
    return torch.tensor([_number(case) for case in cases], dtype=_dtype(cases))


def _number(case: Case) -> Any:
    if case.value is None:
        raise DataError(f"case {case.case_id}: has no target; take it out of the cohort")
    if isinstance(case.value, FollowUp):
        return case.value.time, float(case.value.event)
    return case.value


def _dtype(cases: Sequence[Case]) -> torch.dtype:
    return torch.int64 if isinstance(cases[0].value, int) else torch.float64


def _per_patient(cases: Sequence[Case]) -> Tensor:
    """One target per patient; of a patient whose slides differ, one per different value."""
    return targets_of(list({(each.patient_id, each.value): each for each in cases}.values()))


_LOSSES = {
    cohort.Classification: ("ce",),
    cohort.Multilabel: ("ce",),
    cohort.Regression: ("mse",),
    cohort.Survival: ("nll", "cox"),
}


def _refuse_unfit(target: Target, goal: Goal) -> None:
    fitting = _LOSSES[type(target)]
    if goal.loss not in (None, *fitting):
        raise InputError(f"--loss {goal.loss}: for this target choose {' or '.join(fitting)}")
    if goal.balance != "none" and "ce" not in fitting:
        raise InputError(f"--balance {goal.balance}: there are no classes to balance; leave it out")


def _require(flag: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        names = ", ".join(str(each) for each in known if each)
        raise InputError(f"{flag} {value}: choose {names}")
