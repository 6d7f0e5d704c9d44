"""The metrics of a run as a page lists them: what each means, its interval, its spread."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from wsi_tools.metrics.risk_groups import DESCRIPTIVE
from wsi_tools.metrics.table import MEAN, POOLED, Estimate
from wsi_tools.report.charts import Axis, spread
from wsi_tools.report.figures import Table, number
from wsi_tools.report.run import RunRecord

__all__ = ["MetricRow", "fold_table", "headlines", "metric_rows", "pooled_or_mean"]

Range = Literal["share", "free"]


@dataclass(frozen=True)
class Words:
    """A metric as people call it."""

    label: str
    meaning: str
    range: Range = "share"


WORDS = {
    "auroc": Words("AUROC", "chance that a positive is ranked above a negative; 0.5 is guessing"),
    "auprc": Words("AUPRC", "average precision; guessing gives the share of positives"),
    "ece": Words("ECE", "gap between predicted and observed frequency; 0 is right"),
    "accuracy": Words("accuracy", "share of right calls at the operating threshold"),
    "balanced_accuracy": Words("balanced accuracy", "mean over classes of the share called right"),
    "f1_macro": Words("F1, macro", "mean over classes"),
    "kappa": Words("Cohen’s κ", "agreement beyond chance", "free"),
    "kappa_quadratic": Words("quadratic κ", "agreement beyond chance of ordered classes", "free"),
    "sensitivity": Words("sensitivity", "share of the positives that were called"),
    "specificity": Words("specificity", "share of the negatives that were not called"),
    "ppv": Words("PPV", "share of the called that are positive"),
    "npv": Words("NPV", "share of the others that are negative"),
    "brier": Words("Brier score", "squared error of the probability; 0 is right"),
    "calibration_slope": Words("calibration slope", "1 is right, below 1 too bold", "free"),
    "calibration_intercept": Words("calibration intercept", "0 is right", "free"),
    "c_harrell": Words("Harrell’s C", "comparable pairs ordered by the risk; 0.5 is guessing"),
    "c_uno": Words("Uno’s C", "the same, free of the censoring"),
    "logrank_p": Words("log-rank p", "between the groups of high and low risk"),
    DESCRIPTIVE: Words("log-rank p", "descriptive: the folds’ models overlap, so it is no test"),
    "r2": Words("R²", "share of the variance explained; below 0 worse than the mean", "free"),
    "mae": Words("MAE", "mean absolute error, in the target’s unit", "free"),
    "spearman": Words("Spearman’s ρ", "agreement of the ranks", "free"),
}
HEADLINES = {
    "Classification": ("auroc", "balanced_accuracy", "ece"),
    "Multilabel": ("auroc", "auprc", "ece"),
    "Survival": ("c_harrell", "c_uno", "auc@q50"),
    "Regression": ("r2", "mae", "spearman"),
}
QUARTILES = {"q25": "first quartile", "q50": "median", "q75": "third quartile"}


@dataclass(frozen=True)
class MetricRow:
    """One metric over the whole run, as text.

    Attributes:
        name: as `metrics.csv` has it.
        label: as people call it.
        meaning: what it says.
        value: of all folds.
        interval: 95 %, over patients; empty where there is none.
        over: what the value is of: ``pooled`` or ``mean of folds``.
        folds: mean and sd over the folds, and how many are undefined.
        picture: the folds on a line.
    """

    name: str
    label: str
    meaning: str
    value: str
    interval: str
    over: str
    folds: str
    picture: Markup


def metric_rows(run: RunRecord) -> list[MetricRow]:
    """Every metric of the run."""
    rows = [_row(name, values, list(_lines(run, name))) for name, values in run.summary.items()]
    return [row for row in rows if row is not None]


def headlines(run: RunRecord) -> list[MetricRow]:
    """The few metrics that a reader wants first."""
    known = {row.name: row for row in metric_rows(run)}
    return [known[name] for name in HEADLINES[run.kind] if name in known]


def fold_table(run: RunRecord) -> Table:
    """Every line of `metrics.csv`."""
    header = ("metric", "fold", "value", "95 % interval", "patients", "pairs")
    rows = [
        (
            _words(line.metric).label,
            line.fold,
            _value(line),
            _interval(line.lo, line.hi),
            str(line.n_patients),
            "–" if line.n_pairs is None else str(line.n_pairs),
        )
        for line in run.estimates
    ]
    return Table("Every metric on every fold", header, rows)


def pooled_or_mean(run: RunRecord, metric: str) -> Estimate | None:
    """A metric of all folds: pooled where that makes sense, else their mean."""
    found = {line.fold: line for line in _lines(run, metric)}
    return found.get(POOLED) or found.get(MEAN)


def _lines(run: RunRecord, metric: str) -> Iterator[Estimate]:
    return (line for line in run.estimates if line.metric == metric)


def _row(name: str, values: Mapping[str, float | None], lines: list[Estimate]) -> MetricRow | None:
    """None for what is told of single folds alone, as the p of their log-rank tests is."""
    words, found = _words(name), {line.fold: line for line in lines}
    whole = found.get(POOLED) or found.get(MEAN)
    if whole is None:
        return None
    folds = [line.value for line in lines if line.fold not in (MEAN, POOLED)]
    told = _folds(values)
    ends = (whole.value, whole.lo, whole.hi)
    about = f"{words.label}: folds {', '.join(number(each) for each in folds)}"
    return MetricRow(
        name,
        words.label,
        words.meaning,
        _value(whole),
        _interval(whole.lo, whole.hi),
        "mean of folds" if whole.fold == MEAN else "pooled" if len(folds) != 1 else "one fold",
        told,
        spread(folds, ends, _axis(words, [*folds, *ends]), about) if folds else Markup(),
    )


def _value(line: Estimate) -> str:
    """The value; a p so small that its digits mean nothing is told as such."""
    tiny = line.metric.startswith("logrank") and line.value < 0.001
    return "< 0.001" if tiny else number(line.value)


def _folds(values: Mapping[str, float | None]) -> str:
    """Mean, spread, and what is missing."""
    total, undefined = (int(values[name] or 0) for name in ("folds", "undefined_folds"))
    parts = [number(values["mean"])]
    if values.get("sd_over_folds") is not None:
        parts[0] += f" ± {number(values['sd_over_folds'])}"
    if undefined:
        parts.append(f"undefined in {undefined} of {total} folds")
    if values.get("sd_over_seeds") is not None:
        parts.append(f"sd over seeds {number(values['sd_over_seeds'])}")
    return "; ".join(parts) if total else ""


def _axis(words: Words, values: list[float]) -> Axis:
    if words.range == "share":
        return Axis.share(words.label)
    return Axis.around(words.label, filter(math.isfinite, values), zero=True)


def _words(metric: str) -> Words:
    """What a metric is called; of one class or at one time, too."""
    if metric.startswith("auc@"):
        time = metric.removeprefix("auc@")
        when = f"{QUARTILES[time]} of the training events" if time in QUARTILES else f"time {time}"
        return Words(f"AUC at the {when}", "event by then against seen beyond it")
    plain, _, part = metric.partition(":")
    words = WORDS.get(plain, Words(plain, "", "free"))
    return Words(f"{words.label} · {part}", words.meaning, words.range) if part else words


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f"{number(low)} – {number(high)}"
