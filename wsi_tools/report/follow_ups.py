"""Figures of survival: risk groups, discrimination over time, and whether curves are right."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wsi_tools.evaluation import join, read_predictions
from wsi_tools.metrics import SurvivalRows
from wsi_tools.metrics.censoring import KaplanMeier
from wsi_tools.metrics.curves import curves
from wsi_tools.metrics.risk_groups import DESCRIPTIVE, group_curves
from wsi_tools.metrics.table import MEAN, POOLED
from wsi_tools.report.charts import Axis, Chart, Look
from wsi_tools.report.figures import Figure, Table, look_of, number
from wsi_tools.report.results import pooled_or_mean
from wsi_tools.report.run import RunRecord
from wsi_tools.report.truth import Truth
from wsi_tools.training.folder import PREDICTIONS

__all__ = ["survival_figures"]

GROUPS: Mapping[str, Look] = {"low": "c1", "high": "c2"}
HORIZONS = {25: "auc@q25", 50: "auc@q50", 75: "auc@q75"}
TICK = 0.02  # half the height of a censoring mark


def survival_figures(run: RunRecord, truth: Truth) -> Iterator[Figure]:
    """Kaplan and Meier's curves of the risk groups, AUC over time, calibration of S(t)."""
    rows = truth.joined.rows
    assert isinstance(rows, SurvivalRows)
    groups = dict(group_curves(rows, truth.terms))
    if groups:
        yield _risk_groups(run, groups, run.request["target"]["time"])
    if any(pooled_or_mean(run, metric) for metric in HORIZONS.values()):
        yield _over_time(run)
    yield from _calibration(run, truth)


def _risk_groups(run: RunRecord, groups: Mapping[str, KaplanMeier], time: str) -> Figure:
    title = "Survival by predicted risk"
    x = Axis.around(time, [t for curve in groups.values() for t in curve.time], zero=True)
    sizes = " and ".join(f"{curve.at_risk[0]} of {name} risk" for name, curve in groups.items())
    about = f"Kaplan–Meier curves of {sizes}; the cut is the median risk of each training fold."
    chart = Chart("kaplan-meier", title, about, x, Axis.share("share without the event"))
    for name, curve in groups.items():
        points = list(zip(curve.time.tolist(), curve.survival.tolist(), strict=True))
        chart.line([(0.0, 1.0), *points], GROUPS[name], dashed=name == "high", steps=True)
        for when, survival in _censored(curve):
            chart.whisker(when, survival - TICK, survival + TICK, GROUPS[name])
    looks = {"low": "c1", "high": "c2 dashed"}
    legend = tuple(
        (looks[name], f"{name} risk, n = {curve.at_risk[0]}") for name, curve in groups.items()
    )
    caption = f"{about} Upright ticks: censored. {_log_rank(run)}"
    return Figure(title, caption, chart.markup(), legend, _at_risk(groups, x))


def _log_rank(run: RunRecord) -> str:
    for metric, remark in (
        (DESCRIPTIVE, ", descriptive: the folds’ models share training patients, so it is no test"),
        ("logrank_p", ""),
    ):
        for line in run.estimates:
            if line.metric == metric and line.fold == POOLED:
                return f"Log-rank p {_p(line.value)}{remark}."
    return ""


def _p(value: float) -> str:
    """A p value as a sentence has it."""
    return "< 0.001" if value < 0.001 else f"= {number(value)}"


def _censored(curve: KaplanMeier) -> Iterator[tuple[float, float]]:
    """Where patients were censored, and the curve there."""
    after = np.append(curve.at_risk[1:], 0)
    at = curve.at_risk - curve.events > after
    yield from zip(curve.time[at].tolist(), curve.survival[at].tolist(), strict=True)


def _at_risk(groups: Mapping[str, KaplanMeier], x: Axis) -> Table:
    rows = []
    for name, curve in groups.items():
        places = np.searchsorted(curve.time, x.ticks, side="left")
        seen = np.append(curve.at_risk, 0)[places]
        rows.append((f"{name} risk", *(str(each) for each in seen.tolist())))
    return Table("Patients at risk", (x.label, *(f"{tick:g}" for tick in x.ticks)), rows)


def _over_time(run: RunRecord) -> Figure:
    title = "AUC over time"
    about = (
        "Event by a time against seen beyond it, at quartiles of the training fold’s event times: "
        + "; ".join(_told(run, metric, quartile) for quartile, metric in HORIZONS.items())
        + "."
    )
    x = Axis("quantile of the training events’ times (%)", (0, 25, 50, 75, 100))
    chart = Chart("auc", title, about, x, Axis.share("AUC"))
    chart.level(0.5)
    for quartile, metric in HORIZONS.items():
        lines = [line for line in run.estimates if line.metric == metric]
        folds = [each for each in lines if each.fold not in (MEAN, POOLED)]
        seen = [(quartile + 3.0, each.value) for each in folds if each.value == each.value]
        chart.dots(
            seen, "muted", [f"fold {each.fold}" for each in folds if each.value == each.value]
        )
        if (whole := pooled_or_mean(run, metric)) and whole.value == whole.value:
            chart.whisker(quartile, whole.lo, whole.hi, "c1")
            chart.dots([(quartile, whole.value)], "c1", [number(whole.value)])
    legend = (("c1", "all folds, 95 %"), ("muted", "each fold"))
    return Figure(title, about, chart.markup(), legend)


def _told(run: RunRecord, metric: str, quartile: int) -> str:
    whole = pooled_or_mean(run, metric)
    return f"{number(whole.value if whole else None)} at {quartile} %"


def _calibration(run: RunRecord, truth: Truth) -> Iterator[Figure]:
    """Predicted S(t) beside Kaplan and Meier's; t is each fold's own, so times are told in it."""
    folds = [_fold_rows(run, truth, each.name) for each in run.trainings]
    horizons = min(len(rows.horizons) for rows in folds)
    if not horizons:
        return
    title = "Calibration of survival"
    about = (
        "Observed by predicted survival, in fifths of the test patients, at the times that each "
        "fold’s model tells it."
    )
    chart = Chart(
        "survival-calibration",
        title,
        about,
        Axis.share("predicted S(t)"),
        Axis.share("observed S(t)"),
    )
    chart.diagonal()
    legend = []
    for place in range(horizons):
        look, points = look_of(place, horizons), _fifths(folds, place)
        chart.line(points, look, dashed=place % 2 == 1)
        chart.dots(points, look)
        times = [rows.horizons[place] for rows in folds]
        swatch = f"{look} dashed" if place % 2 else look
        legend.append((swatch, f"t = {min(times):.4g}–{max(times):.4g}"))
    caption = (
        f"{about} A patient’s time is counted in units of it. On the diagonal, curves are right."
    )
    yield Figure(title, caption, chart.markup(), tuple(legend))


def _fold_rows(run: RunRecord, truth: Truth, fold: str) -> SurvivalRows:
    """The test patients of a fold, with survival at the fold's own times."""
    target = truth.cohort.target
    assert target is not None
    table = read_predictions(run.training(fold).folder / PREDICTIONS)
    rows = join(table, truth.cohort, target).rows
    assert isinstance(rows, SurvivalRows)
    return rows


def _fifths(folds: Sequence[SurvivalRows], place: int) -> list[tuple[float, float]]:
    """Mean predicted and observed survival of each fifth at one of the times, in units of it."""
    scaled = SurvivalRows(
        patient=np.concatenate([rows.patient for rows in folds]),
        fold=np.concatenate([rows.fold for rows in folds]),
        time=np.concatenate([rows.time / rows.horizons[place] for rows in folds]),
        event=np.concatenate([rows.event for rows in folds]),
        risk=np.concatenate([rows.risk for rows in folds]),
        survival=np.concatenate([rows.survival[:, [place]] for rows in folds]),
        horizons=(1.0,),
    )
    found = next(curve for curve in curves(scaled) if curve.name == "survival_calibration")
    return [(float(str(point[2])), float(str(point[3]))) for point in found.points]
