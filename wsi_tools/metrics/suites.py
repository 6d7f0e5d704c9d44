"""Which metrics each kind of prediction is given, by name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics import calibration, concordance, ranking, regression
from wsi_tools.metrics.agreement import Confusion, confusion
from wsi_tools.metrics.ratio import Array, Ratio
from wsi_tools.metrics.reference import Reference
from wsi_tools.metrics.rows import ClassRows, LabelRows, Rows, SurvivalRows

__all__ = ["FollowUpTerms", "Metric", "Pooling", "metrics_for"]

Pooling = Literal["folds", "rows", "never"]
QUARTILES = ("q25", "q50", "q75")


@dataclass(frozen=True)
class Metric:
    """A metric of rows.

    Attributes:
        name: as tables have it.
        measure: from rows of one fold and ``weights (draws, n)``.
        pooling: whether folds are pooled by adding up what each counted (``folds``), by measuring
            all rows at once (``rows``), or not at all.
    """

    name: str
    measure: Callable[[Any, Array], Ratio]
    pooling: Pooling = "folds"


@dataclass(frozen=True)
class FollowUpTerms:
    """On what terms survival is evaluated.

    Attributes:
        references: of each fold's training part; a fold without one has no Uno's C and no AUC.
        comparable: whether the risks of all folds are on one scale (never so with Cox), so that
            folds may be pooled.
        horizons: times of the AUC; if not given, the quartiles that each fold's reference names.
    """

    references: Mapping[str, Reference] = field(default_factory=dict)
    comparable: bool = True
    horizons: tuple[float, ...] = ()

    def of(self, fold: str) -> Reference | None:
        """The reference of a fold; one under the name ``*`` is that of all others."""
        return self.references.get(fold, self.references.get("*"))


def metrics_for(rows: Rows, terms: FollowUpTerms | None = None) -> tuple[Metric, ...]:
    """The metrics of the kind of rows; `terms` are for follow-ups."""
    if isinstance(rows, ClassRows):
        return tuple(_of_two(rows) if len(rows.classes) == 2 else _of_classes(rows))
    if isinstance(rows, LabelRows):
        return tuple(_of_labels(rows))
    if isinstance(rows, SurvivalRows):
        return tuple(_of_survival(terms or FollowUpTerms()))
    return OF_VALUES


def _of_two(rows: ClassRows) -> Iterator[Metric]:
    """Two classes: the second is positive, and the first says nothing new of it."""
    yield from _probabilities(_positive)
    yield from _calls(rows)
    yield Metric("sensitivity", lambda rows, w: _part(_confusion(rows, w).recall(), 1))
    yield Metric("specificity", lambda rows, w: _part(_confusion(rows, w).recall(), 0))
    yield Metric("ppv", lambda rows, w: _part(_confusion(rows, w).precision(), 1))
    yield Metric("npv", lambda rows, w: _part(_confusion(rows, w).precision(), 0))
    yield Metric("brier", lambda rows, w: calibration.brier(*_positive(rows), w))
    yield from _calibrations("", 0, _positive)


def _of_classes(rows: ClassRows) -> Iterator[Metric]:
    """Several classes: each against the rest."""
    yield from _probabilities(_against_the_rest)
    yield from _calls(rows)
    yield Metric("brier", lambda rows, w: calibration.brier(*_against_the_rest(rows), w))
    for place, name in enumerate(rows.classes):
        yield from _each(name, place, _against_the_rest)
        yield Metric(f"sensitivity:{name}", partial(_recall_of, place))
        yield from _calibrations(f":{name}", place, _against_the_rest)


def _of_labels(rows: LabelRows) -> Iterator[Metric]:
    """Several labels, each on its own."""
    yield from _probabilities(_labels)
    yield Metric("f1_macro", _f1_of_labels)
    yield Metric("brier", _brier_of_labels)
    for place, name in enumerate(rows.labels):
        yield from _each(name, place, _labels)
        yield from _calibrations(f":{name}", place, _labels)


def _of_survival(terms: FollowUpTerms) -> Iterator[Metric]:
    pooling: Pooling = "folds" if terms.comparable else "never"
    yield Metric("c_harrell", _harrell, pooling)
    yield Metric("c_uno", partial(_uno, terms), pooling)
    for time in terms.horizons:
        yield Metric(f"auc@{time:.10g}", partial(_auc_at, terms, time), pooling)
    for place, name in enumerate(() if terms.horizons else QUARTILES):
        yield Metric(f"auc@{name}", partial(_auc_at_quartile, terms, place), pooling)


OF_VALUES = (
    Metric("r2", lambda rows, w: regression.r_squared(rows.truth, rows.value, w), "rows"),
    Metric("mae", lambda rows, w: regression.absolute_error(rows.truth, rows.value, w)),
    Metric("spearman", lambda rows, w: regression.spearman(rows.truth, rows.value, w)),
)

Parts = Callable[[Any], tuple[NDArray[np.bool_], Array]]
"""From rows to truth and probability, both ``(n, parts)``."""


def _positive(rows: ClassRows) -> tuple[NDArray[np.bool_], Array]:
    return rows.truth[:, None] == 1, rows.prob[:, 1:]


def _against_the_rest(rows: ClassRows) -> tuple[NDArray[np.bool_], Array]:
    return rows.truth[:, None] == np.arange(len(rows.classes)), rows.prob


def _labels(rows: LabelRows) -> tuple[NDArray[np.bool_], Array]:
    return rows.truth, rows.prob


def _probabilities(parts: Parts) -> Iterator[Metric]:
    yield Metric("auroc", lambda rows, w: ranking.auroc(*parts(rows), w))
    yield Metric("auprc", lambda rows, w: ranking.auprc(*parts(rows), w))
    yield Metric("ece", lambda rows, w: ranking.calibration_error(*parts(rows), w), "rows")


def _each(name: str, place: int, parts: Parts) -> Iterator[Metric]:
    """One class or label alone."""

    def one(rows: Rows) -> tuple[NDArray[np.bool_], Array]:
        truth, prob = parts(rows)
        return truth[:, [place]], prob[:, [place]]

    yield Metric(f"auroc:{name}", lambda rows, w: ranking.auroc(*one(rows), w))
    yield Metric(f"auprc:{name}", lambda rows, w: ranking.auprc(*one(rows), w))


def _calibrations(suffix: str, place: int, parts: Parts) -> Iterator[Metric]:
    def fitted(fit: Callable[..., Ratio], rows: Rows, weights: Array) -> Ratio:
        truth, prob = parts(rows)
        return fit(truth[:, place], prob[:, place], weights)

    yield Metric(f"calibration_slope{suffix}", partial(fitted, calibration.slope), "rows")
    yield Metric(f"calibration_intercept{suffix}", partial(fitted, calibration.intercept), "rows")


def _calls(rows: ClassRows) -> Iterator[Metric]:
    """What the called classes are worth."""
    ordered = rows.ordered
    yield Metric("accuracy", lambda rows, w: _confusion(rows, w).accuracy())
    yield Metric("balanced_accuracy", lambda rows, w: _confusion(rows, w).recall())
    yield Metric("f1_macro", lambda rows, w: _confusion(rows, w).f1())
    yield Metric(
        "kappa_quadratic" if ordered else "kappa",
        lambda rows, w: _confusion(rows, w).kappa(ordered=ordered),
        "rows",
    )


def _confusion(rows: ClassRows, weights: Array) -> Confusion:
    return confusion(rows.truth, rows.predicted, len(rows.classes), weights)


def _recall_of(place: int, rows: ClassRows, weights: Array) -> Ratio:
    return _part(_confusion(rows, weights).recall(), place)


def _part(ratio: Ratio, place: int) -> Ratio:
    return Ratio(ratio.top[[place]], ratio.bottom[[place]], ratio.pairs)


def _f1_of_labels(rows: LabelRows, weights: Array) -> Ratio:
    called = rows.prob >= 0.5
    right = weights @ (rows.truth & called)  # (draws, labels)
    return Ratio(2 * right.T, (weights @ rows.truth + weights @ called).T)


def _brier_of_labels(rows: LabelRows, weights: Array) -> Ratio:
    summed = calibration.brier(rows.truth, rows.prob, weights)
    return Ratio(summed.top / len(rows.labels), summed.bottom)


def _harrell(rows: SurvivalRows, weights: Array) -> Ratio:
    return concordance.harrell(rows.time, rows.event, rows.risk, weights)


def _uno(terms: FollowUpTerms, rows: SurvivalRows, weights: Array) -> Ratio:
    if (known := terms.of(str(rows.fold[0]))) is None:
        return _undefined(weights)
    return concordance.uno(rows.time, rows.event, rows.risk, weights, known)


def _auc_at(terms: FollowUpTerms, time: float, rows: SurvivalRows, weights: Array) -> Ratio:
    if (known := terms.of(str(rows.fold[0]))) is None:
        return _undefined(weights)
    return concordance.auc_at(time, rows.time, rows.event, rows.risk, weights, known)


def _auc_at_quartile(terms: FollowUpTerms, place: int, rows: SurvivalRows, weights: Array) -> Ratio:
    known = terms.of(str(rows.fold[0]))
    time = known.quartiles[place] if known else 0.0
    return _auc_at(terms, time, rows, weights)


def _undefined(weights: Array) -> Ratio:
    nothing = np.zeros((1, len(weights)))
    return Ratio(nothing, nothing, 0)
