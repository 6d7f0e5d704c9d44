"""Predictions beside what is known of the patients: the rows that metrics are measured on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_tools.cohort import (
    Classification,
    Cohort,
    FollowUp,
    Multilabel,
    Patient,
    Regression,
    SlideRow,
    Survival,
    Target,
    Value,
)
from wsi_tools.errors import DataError, InputError
from wsi_tools.evaluation.predictions import Predictions
from wsi_tools.metrics import ClassRows, LabelRows, Rows, SurvivalRows, ValueRows
from wsi_tools.metrics.ratio import Array

__all__ = ["Joined", "calling", "join"]

SLACK = 1e-3  # by which rounded probabilities of one slide may miss 1


@dataclass(frozen=True, eq=False)
class Joined:
    """Rows of patients, and who was left out.

    Attributes:
        rows: one per patient and fold (per slide, where slides have labels of their own).
        cells: ``(n,)`` what else is known of each row's patient.
        seeds: of each fold.
        strangers: predicted cases that the cohort does not know.
        unlabelled: predicted cases whose value is missing.
    """

    rows: Rows
    cells: tuple[Mapping[str, str | None], ...]
    seeds: Mapping[str, str]
    strangers: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()

    def groups(self, column: str) -> NDArray[np.str_]:
        """A column's cell for each row ``(n,)``; a missing one is ``missing``.

        Raises:
            InputError: no such column.
        """
        if column not in self.cells[0]:
            known = ", ".join(list(self.cells[0])[:20])
            raise InputError(f"--by {column}: no such column in the cohort; it has {known}")
        return np.array([cells[column] or "missing" for cells in self.cells])


def join(
    predictions: Predictions, cohort: Cohort, target: Target, *, ordered: bool = False
) -> Joined:
    """Look up every prediction's patient and value; average the slides of a patient.

    Args:
        predictions: of slides or patients.
        cohort: whose values are read here, from the predicted rows alone.
        target: how values are read.
        ordered: the classes ascend as their columns do.

    Raises:
        InputError: the cohort lacks a column of the target, or the table has no predictions of it.
        DataError: no prediction is of the cohort, a value makes no sense, or the slides of a
            patient disagree.
    """
    _require(cohort, target)
    target = _with_columns(target, predictions)
    units = _units(cohort)
    found = np.array([case in units for case in predictions.case.tolist()])
    if not found.any():
        raise DataError(
            f"{predictions.source}: none of its slides is in {cohort.source}; are they named alike?"
        )
    strangers = tuple(np.unique(predictions.case[~found]).tolist())
    known = predictions.take(found)
    mean = known.averaged([units[case].patient_id for case in known.case.tolist()])
    people = {unit.patient_id: unit for unit in units.values()}
    patients = [people[name] for name in mean.case.tolist()]
    return _joined(mean, patients, target, strangers, ordered=ordered)


def calling(rows: ClassRows, thresholds: Mapping[str, float]) -> ClassRows:
    """Call the second of two classes from a fold's own threshold on; ``*`` is for all others."""
    called = rows.predicted.copy()
    for fold, at in rows.folds():
        threshold = thresholds.get(fold, thresholds.get("*"))
        if threshold is not None and len(rows.classes) == 2:
            called[at] = rows.prob[at, 1] >= threshold
    return replace(rows, predicted=called)


def _joined(
    mean: Predictions,
    units: list[Patient],
    target: Target,
    strangers: tuple[str, ...],
    *,
    ordered: bool,
) -> Joined:
    values = [_value(unit, target) for unit in units]
    labelled = np.array([value is not None for value in values])
    kept = mean.take(labelled)
    if not len(kept.case):
        raise DataError(f"{mean.source}: no predicted slide has a value in the cohort")
    present = [value for value in values if value is not None]
    chosen = [unit for unit, there in zip(units, labelled, strict=True) if there]
    return Joined(
        _rows(kept, chosen, present, target, ordered=ordered),
        tuple(unit.cells for unit in chosen),
        dict(zip(kept.fold.tolist(), kept.seed.tolist(), strict=True)),
        strangers,
        tuple(np.unique(mean.case[~labelled]).tolist()),
    )


def _units(cohort: Cohort) -> dict[str, Patient]:
    """What a prediction may be of: a slide's patient (or the slide alone), or a patient."""
    if cohort.slide_labels:
        return {slide.slide_id: Patient(slide.slide_id, (slide,)) for slide in cohort.slides}
    patients = cohort.patients
    by_name = {patient.patient_id: patient for patient in patients}
    return by_name | {slide.slide_id: each for each in patients for slide in each.slides}


def _value(patient: Patient, target: Target) -> Value | None:
    """The one value of the patient's slides, None where a cell is missing."""
    slides = tuple(_valued(slide, target) for slide in patient.slides)
    return replace(patient, slides=slides).value


def _valued(slide: SlideRow, target: Target) -> SlideRow:
    if any(slide.cells[column] is None for column in target.columns):
        return slide
    try:
        return replace(slide, value=target.read(slide.cells))
    except ValueError as error:
        raise DataError(f"{slide.where}: {error}") from None


def _require(cohort: Cohort, target: Target) -> None:
    known = cohort.slides[0].cells
    for column in target.columns:
        if column not in known:
            listed = ", ".join(list(known)[:20])
            raise InputError(f"{cohort.source}: no column {column!r}; it has {listed}")


def _with_columns(target: Target, predictions: Predictions) -> Target:
    """The target with the classes that the predictions have."""
    names, _ = predictions.columns_of("prob_")
    needed = {Survival: "risk", Regression: "value"}.get(type(target), "prob_")
    if not any(name.startswith(needed) for name in predictions.columns):
        raise InputError(
            f"{predictions.source}: no column {needed}{'…' if needed == 'prob_' else ''}; it has "
            f"{', '.join(predictions.columns)}: choose the --task that was predicted"
        )
    if isinstance(target, Classification):
        return Classification(target.label, names)
    if isinstance(target, Multilabel) and set(target.labels) != set(names):
        raise InputError(
            f"{predictions.source}: predicts {', '.join(names)}; name these by --label"
        )
    return Multilabel(names) if isinstance(target, Multilabel) else target


def _rows(
    kept: Predictions,
    patients: list[Patient],
    values: list[Value],
    target: Target,
    *,
    ordered: bool,
) -> Rows:
    who = np.array([patient.slides[0].patient_id for patient in patients])
    common: dict[str, Any] = {"patient": who, "fold": kept.fold}
    names, prob = kept.columns_of("prob_")
    if isinstance(target, Classification):
        _check_sums(kept.source, prob)
        truth = np.array(values, dtype=np.int64)
        called = prob.argmax(axis=1).astype(np.int64)
        make = partial(ClassRows, truth=truth, prob=prob, predicted=called, classes=names)
        return make(**common, ordered=ordered)
    if isinstance(target, Multilabel):
        return LabelRows(**common, truth=np.array(values, dtype=bool), prob=prob, labels=names)
    if isinstance(target, Survival):
        return _survival_rows(kept, [_as(value, FollowUp) for value in values], common)
    value = kept.columns_of("value")[1][:, 0]
    return ValueRows(**common, truth=np.array(values, dtype=np.float64), value=value)


def _survival_rows(
    kept: Predictions, follow_ups: list[FollowUp], common: dict[str, Any]
) -> SurvivalRows:
    horizons, survival = kept.columns_of("surv_")
    return SurvivalRows(
        **common,
        time=np.array([each.time for each in follow_ups]),
        event=np.array([each.event for each in follow_ups]),
        risk=kept.columns_of("risk")[1][:, 0],
        survival=survival,
        horizons=tuple(float(time) for time in horizons),
    )


def _check_sums(source: str, prob: Array) -> None:
    if np.abs(prob.sum(axis=1) - 1).max() > SLACK or prob.min() < 0:
        raise DataError(
            f"{source}: the prob_ columns of a slide do not sum to 1; use --task multilabel if "
            "they are labels of their own"
        )


Kind = TypeVar("Kind")


def _as(value: Value, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind):
        raise InputError(f"{value!r} is no value of this target")
    return value
