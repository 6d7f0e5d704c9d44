"""What each side of a split may see: training gets folds without tests, evaluation the tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wsi_tools.cohort import Case, Cohort
from wsi_tools.errors import DataError, InputError
from wsi_tools.splits.assignment import Splits
from wsi_tools.splits.audit import audit, refuse

__all__ = ["Fold", "held_out", "training_folds"]


@dataclass(frozen=True)
class Fold:
    """What a trainer sees of a fold; test cases are nowhere in it."""

    number: int
    train: tuple[Case, ...]
    val: tuple[Case, ...]
    repeat: int = 0


def training_folds(splits: Splits, cohort: Cohort, level: str = "slide") -> tuple[Fold, ...]:
    """The training and validation cases of every fold.

    Raises:
        DataError: a patient is on both sides by the cohort's own account, the split names slides
            that the cohort has not, or a fold has nothing to train on.
    """
    refuse(audit(splits, patient_of=cohort.patient_of))
    _refuse_unknown(splits, cohort)
    return tuple(_folds(splits, cohort.cases(level)))


def held_out(
    splits: Splits, cohort: Cohort, fold: int, *, repeat: int = 0, level: str = "slide"
) -> tuple[Case, ...]:
    """The test cases of a fold; for `predict` and `evaluate` alone.

    Raises:
        InputError: there is no such fold.
        DataError: the split names slides that the cohort has not.
    """
    if (repeat, fold) not in splits.places:
        raise InputError(f"--fold {fold}: the split has no such fold")
    _refuse_unknown(splits, cohort)
    return _cases(cohort.cases(level), splits.slides(fold, "test", repeat))


def _folds(splits: Splits, cases: Sequence[Case]) -> Iterator[Fold]:
    for repeat, number in splits.places:
        train = _cases(cases, splits.slides(number, "train", repeat))
        val = _cases(cases, splits.slides(number, "val", repeat))
        if not train:
            raise DataError(f"fold {number}: no case to train on; check the split")
        yield Fold(number, train, val, repeat)


def _cases(cases: Sequence[Case], slides: Sequence[str]) -> tuple[Case, ...]:
    wanted = frozenset(slides)
    return tuple(case for case in cases if not wanted.isdisjoint(case.slides))


def _refuse_unknown(splits: Splits, cohort: Cohort) -> None:
    known: Mapping[str, str] = cohort.patient_of
    unknown = [each.slide_id for each in splits.assignments if each.slide_id not in known]
    if unknown:
        raise DataError(
            f"the split names {len(set(unknown))} slides that {cohort.source} has not, such as "
            f"{unknown[0]}; make the split from this cohort"
        )
