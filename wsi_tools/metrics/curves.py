"""The points of curves, as lines of tables: ROC, precision-recall, calibration, Kaplan-Meier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.censoring import kaplan_meier
from wsi_tools.metrics.ranking import equal_mass_bins, tally
from wsi_tools.metrics.ratio import Array
from wsi_tools.metrics.risk_groups import group_curves
from wsi_tools.metrics.rows import ClassRows, LabelRows, Rows, SurvivalRows, ValueRows
from wsi_tools.metrics.suites import FollowUpTerms

__all__ = ["Curve", "curves"]

GROUPS = 5  # of patients, by predicted survival


@dataclass(frozen=True)
class Curve:
    """A table of points.

    Attributes:
        name: of the file, without its suffix.
        columns: what a point is made of.
        points: one per line.
    """

    name: str
    columns: tuple[str, ...]
    points: Sequence[tuple[object, ...]] = field(repr=False)


def curves(rows: Rows, terms: FollowUpTerms | None = None) -> Iterator[Curve]:
    """The curves of the kind of rows; `terms` are for follow-ups."""
    if isinstance(rows, ClassRows):
        truth = rows.truth[:, None] == np.arange(len(rows.classes))
        yield from _of_probabilities(rows, rows.classes, truth, rows.prob)
    elif isinstance(rows, LabelRows):
        yield from _of_probabilities(rows, rows.labels, rows.truth, rows.prob)
    elif isinstance(rows, SurvivalRows):
        yield _groups(rows, terms or FollowUpTerms())
        yield _survival_calibration(rows)
    elif isinstance(rows, ValueRows):
        points = zip(rows.patient, rows.fold, rows.truth, rows.value, strict=True)
        yield Curve("scatter", ("patient_id", "fold", "truth", "value"), tuple(points))


def _of_probabilities(
    rows: Rows, names: tuple[str, ...], truth: NDArray[np.bool_], prob: Array
) -> Iterator[Curve]:
    """ROC and precision-recall in each fold, whose scores are of one model; calibration of all."""
    roc, precision, reliability = [], [], []
    for place, name in enumerate(names):
        for fold, at in rows.folds():
            one, score = truth[at, place], prob[at, place]
            roc += [(fold, name, *point) for point in _roc(one, score)]
            precision += [(fold, name, *point) for point in _precision_recall(one, score)]
        reliability += [(name, *point) for point in _calibration(truth[:, place], prob[:, place])]
    yield Curve("roc", ("fold", "class", "threshold", "fpr", "tpr"), roc)
    yield Curve(
        "precision_recall", ("fold", "class", "threshold", "recall", "precision"), precision
    )
    yield Curve("calibration", ("class", "bin", "predicted", "observed", "n"), reliability)


def _roc(truth: NDArray[np.bool_], score: Array) -> Iterator[tuple[float, ...]]:
    """Threshold, false and true positive rate; from nobody called to everybody."""
    if truth.any() and not truth.all():
        yield np.inf, 0.0, 0.0
        for threshold, true, false in _called(truth, score):
            yield threshold, false / (~truth).sum(), true / truth.sum()


def _precision_recall(truth: NDArray[np.bool_], score: Array) -> Iterator[tuple[float, ...]]:
    """Threshold, recall and precision."""
    if truth.any():
        for threshold, true, false in _called(truth, score):
            yield threshold, true / truth.sum(), true / (true + false)


def _called(truth: NDArray[np.bool_], score: Array) -> Iterator[tuple[float, float, float]]:
    """True and false positives from each score on, the highest score first."""
    table = tally(truth, score, np.ones((1, len(truth))))
    true, false = (each[0, ::-1].cumsum() for each in (table.positive, table.negative))
    yield from zip(table.score[::-1].tolist(), true.tolist(), false.tolist(), strict=True)


def _calibration(truth: NDArray[np.bool_], score: Array) -> Iterator[tuple[float, ...]]:
    """Mean prediction and frequency in the bins of the calibration error."""
    table = tally(truth, score, np.ones((1, len(truth))))
    positive, mass = table.positive[0], (table.positive + table.negative)[0]
    bins = equal_mass_bins(mass[None])[0]
    for each in np.unique(bins):
        within = bins == each
        rows = mass[within].sum()
        predicted = (mass * table.score)[within].sum() / rows
        yield int(each), predicted, positive[within].sum() / rows, int(rows)


def _groups(rows: SurvivalRows, terms: FollowUpTerms) -> Curve:
    points = [
        (name, *point)
        for name, curve in group_curves(rows, terms)
        for point in zip(curve.time, curve.at_risk, curve.events, curve.survival, strict=True)
    ]
    return Curve("kaplan_meier", ("group", "time", "at_risk", "events", "survival"), points)


def _survival_calibration(rows: SurvivalRows) -> Curve:
    """Predicted survival at each horizon beside Kaplan and Meier's, by fifths of the patients."""
    points: list[tuple[object, ...]] = []
    for place, time in enumerate(rows.horizons):
        predicted = rows.survival[:, place]
        order = np.argsort(predicted, kind="stable")
        for number, at in enumerate(np.array_split(order, min(GROUPS, len(order)))):
            observed = kaplan_meier(rows.time[at], rows.event[at]).at(np.array([time]))
            points.append((time, number, predicted[at].mean(), float(observed[0]), len(at)))
    columns = ("time", "group", "predicted", "observed", "n")
    return Curve("survival_calibration", columns, points)
