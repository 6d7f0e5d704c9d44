"""Metrics in words: nothing undefined is counted, no mean is told that means nothing."""

from dataclasses import replace

import numpy as np
import pytest

from wsi_tools.metrics import SurvivalRows
from wsi_tools.metrics.table import Estimate
from wsi_tools.report import follow_ups, read_truth
from wsi_tools.report.classes import _wilson, probability_figures
from wsi_tools.report.figures import Matrix, number
from wsi_tools.report.results import fold_table, headlines, metric_rows


def test_undefined_is_a_dash_and_a_minus_is_a_minus():
    assert [number(each) for each in (None, float("nan"), -0.5, 1234.5)] == [
        "–",
        "–",
        "−0.500",
        "1234",
    ]


def test_a_metric_says_in_how_many_folds_it_is_undefined(run_of):
    run, nan = run_of("classification"), float("nan")
    lines = (
        Estimate("auroc", "0", nan, nan, nan, 12, 0),
        Estimate("auroc", "1", 0.8, 0.6, 0.9, 12, 35),
        Estimate("auroc", "mean", 0.8, 0.6, 0.9, 12, 35),
        Estimate("auroc", "pooled", 0.81, 0.61, 0.91, 24, 35),
    )
    told = {"auroc": {"folds": 2, "undefined_folds": 1, "mean": 0.8}}
    (row,) = metric_rows(replace(run, estimates=lines, summary=told))
    assert (row.value, row.interval, row.over) == ("0.810", "0.610 – 0.910", "pooled")
    assert row.folds == "0.800; undefined in 1 of 2 folds"
    assert row.picture.count("<circle") == 1


def test_what_cannot_be_pooled_is_called_a_mean_of_folds(run_of):
    row = next(row for row in metric_rows(run_of("cox")) if row.name == "c_harrell")
    assert row.over == "mean of folds"
    row = next(row for row in metric_rows(run_of("nll")) if row.name == "c_harrell")
    assert row.over == "pooled"


def test_no_mean_of_p_values_is_told(run_of):
    run = run_of("nll")
    assert "logrank_p" in run.summary
    assert "logrank_p" not in {row.name for row in metric_rows(run)}
    assert "log-rank p" in {row[0] for row in fold_table(run).rows}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("classification", ["auroc", "balanced_accuracy", "ece"]),
        ("multilabel", ["auroc", "auprc", "ece"]),
        ("regression", ["r2", "mae", "spearman"]),
        ("nll", ["c_harrell", "c_uno", "auc@q50"]),
    ],
)
def test_the_first_figures_are_of_the_kind_of_target(run_of, kind, names):
    assert [row.name for row in headlines(run_of(kind))] == names


def test_wilsons_interval_is_as_published():
    """Brown, Cai and DasGupta, Stat Sci 2001: 0 of 10 is 0 to 0.2775; 8 of 10, 0.4902 to 0.9433."""
    assert _wilson(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert _wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_shares_of_a_confusion_are_of_the_true_class():
    assert Matrix(("a", "b"), [[3, 1], [0, 0]]).shares == [[0.75, 0.25], [0, 0]]


def test_every_label_has_its_curves(run_of, made):
    rows = read_truth(run_of("multilabel"), made[0]).joined.rows
    titles = [figure.title for figure in probability_figures(rows)]
    for label in ("invasive", "died"):
        for what in ("ROC", "Precision and recall", "Reliability"):
            assert f"{what} · {label}" in titles


def test_survival_has_its_curves_and_who_was_at_risk(run_of, made):
    run = run_of("nll")
    truth = read_truth(run, made[0])
    figures = {figure.title: figure for figure in follow_ups.survival_figures(run, truth)}
    assert list(figures) == [
        "Survival by predicted risk",
        "AUC over time",
        "Calibration of survival",
    ]
    low, high = figures["Survival by predicted risk"].table.rows
    assert int(low[1]) + int(high[1]) == 24
    assert "descriptive" in figures["Survival by predicted risk"].caption


def test_times_in_units_of_each_folds_horizon_give_the_curve_at_it():
    """With the same horizon in both folds, it is what Kaplan and Meier say there."""
    rng = np.random.default_rng(0)
    time, event = rng.exponential(10, 40), rng.random(40) < 0.7
    survival = rng.random((40, 1))

    def rows(at):
        return SurvivalRows(
            patient=np.arange(40).astype(str)[at],
            fold=np.repeat("0", 40)[at],
            time=time[at],
            event=event[at],
            risk=-survival[at, 0],
            survival=survival[at],
            horizons=(8.0,),
        )

    halves = [rows(slice(0, 20)), rows(slice(20, 40))]
    lowest = np.argsort(survival[:, 0])[:8]
    at_risk, left = 8, 1.0
    for place in lowest[np.argsort(time[lowest])]:
        if time[place] <= 8.0 and event[place]:
            left *= 1 - 1 / at_risk
        at_risk -= 1
    predicted, observed = follow_ups._fifths(halves, 0)[0]
    assert predicted == pytest.approx(survival[lowest, 0].mean())
    assert observed == pytest.approx(left)
