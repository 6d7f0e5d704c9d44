"""Tables of metrics: folds, pooling, intervals, groups, comparison, and the numbers' metrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as theirs

from wsi_tools.errors import DataError
from wsi_tools.metrics import (
    ClassRows,
    FollowUpTerms,
    LabelRows,
    PatientDraws,
    Reference,
    SurvivalRows,
    ValueRows,
    bootstrap,
    by_group,
    concordance,
    differences,
    estimates,
    log_rank_lines,
    metrics_for,
    summary,
    write_estimates,
)
from wsi_tools.metrics.curves import curves
from wsi_tools.metrics.regression import absolute_error, r_squared, spearman
from wsi_tools.metrics.table import read_estimates

PLAIN = PatientDraws(count=0)


def class_rows(truth, prob, fold=None, patient=None, **more):
    """Rows of two classes from the probability of the second."""
    n, prob = len(truth), np.array(prob, dtype=float)
    return ClassRows(
        patient=np.array([f"p{k}" for k in range(n)] if patient is None else patient),
        fold=np.array(["0"] * n if fold is None else fold),
        truth=np.array(truth),
        prob=np.column_stack((1 - prob, prob)),
        predicted=(prob >= 0.5).astype(int),
        classes=("no", "yes"),
        **more,
    )


def survival_rows(n=90, folds=3, seed=0):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    seen, gone = rng.exponential(np.exp(-risk)), rng.exponential(2, n)
    return SurvivalRows(
        patient=np.array([f"p{k}" for k in range(n)]),
        fold=np.array([str(k % folds) for k in range(n)]),
        time=np.minimum(seen, gone),
        event=seen <= gone,
        risk=risk,
        survival=np.exp(-np.exp(risk))[:, None],
        horizons=(1.0,),
    )


def values(table, metric):
    return {line.fold: line.value for line in table if line.metric == metric}


def line(table, metric, fold="pooled"):
    (found,) = [each for each in table if (each.metric, each.fold) == (metric, fold)]
    return found


def measured(rows, draws=PLAIN, terms=None):
    return estimates(rows, metrics_for(rows, terms), draws)


def test_pooling_compares_no_pair_of_two_folds():
    """Each fold is ordered well, and the second lies above the first altogether."""
    rows = class_rows([0, 1, 0, 1], [0.1, 0.2, 0.8, 0.9], ["0", "0", "1", "1"])
    table = measured(rows)
    assert values(table, "auroc") == {"0": 1, "1": 1, "mean": 1, "pooled": 1}
    assert line(table, "auroc").n_pairs == 2


def test_folds_are_pooled_by_their_pairs_and_averaged_as_equals():
    truth, prob = [0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.9, 0.4]
    table = measured(class_rows(truth, prob, ["0", "0", "0", "1", "1"]))
    assert values(table, "auroc") == {"0": 1, "1": 0, "mean": 0.5, "pooled": pytest.approx(2 / 3)}


def test_an_undefined_fold_is_nan_and_counted():
    table = measured(class_rows([0, 1, 1, 1], [0.1, 0.2, 0.3, 0.9], ["0", "0", "1", "1"]))
    assert np.isnan(values(table, "auroc")["1"])
    assert line(table, "auroc", "mean").value == 1
    assert line(table, "auroc", "mean").n_patients == 2
    told = summary(table, {})["auroc"]
    assert (told["folds"], told["undefined_folds"], told["mean"]) == (2, 1, 1)


def test_scatter_over_seeds_is_a_standard_deviation_of_means():
    folds = ["a/0", "a/1", "b/0", "b/1"]
    rows = class_rows([1] * 4, [0.9, 0.9, 0.1, 0.9], folds, ["p", "q", "p", "q"])
    told = summary(measured(rows), dict(zip(folds, "aabb", strict=True)))["accuracy"]
    assert told["sd_over_seeds"] == pytest.approx(np.std([1, 0.5], ddof=1))
    assert told["sd_over_folds"] == pytest.approx(np.std([1, 1, 0, 1], ddof=1))


def test_patients_are_drawn_with_all_their_rows():
    patients = np.array(["a", "a", "b", "c", "a"])
    counts = np.concatenate(list(PatientDraws(200).of(patients)))
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 0] == counts[:, 4]).all()
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_draws_do_not_depend_on_how_many_are_held_at_once(monkeypatch):
    patients = np.array(list("abcdef"))
    whole = np.concatenate(list(PatientDraws(50).of(patients)))
    monkeypatch.setattr(bootstrap, "CELLS", 42)
    np.testing.assert_array_equal(np.concatenate(list(PatientDraws(50).of(patients))), whole)


def test_repeated_slides_do_not_narrow_the_interval():
    """Twenty copies of each patient's row are no more patients."""
    rng = np.random.default_rng(0)
    truth, prob = rng.integers(0, 2, 40), rng.random(40)
    once = line(measured(class_rows(truth, prob), PatientDraws(300)), "accuracy")
    again = np.repeat(np.arange(40), 20)
    names = [f"p{k}" for k in again]
    many = line(
        measured(class_rows(truth[again], prob[again], patient=names), PatientDraws(300)),
        "accuracy",
    )
    assert many.n_patients == 40
    assert many.hi - many.lo == pytest.approx(once.hi - once.lo, rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Two normal distributions one and a half apart: AUROC is Phi(1.5 / sqrt 2) = 0.8556."""
    rng, covered = np.random.default_rng(0), 0
    for trial in range(150):
        truth = np.repeat([0, 1], 40)
        score = rng.normal(1.5 * truth)
        prob = 1 / (1 + np.exp(-score))
        rows = class_rows(truth, prob)
        metric = [each for each in metrics_for(rows) if each.name == "auroc"]
        found = line(estimates(rows, metric, PatientDraws(200, trial)), "auroc")
        covered += found.lo <= 0.8556 <= found.hi
    assert 0.88 <= covered / 150 <= 0.99


def test_a_run_against_itself_differs_by_nothing():
    rng = np.random.default_rng(0)
    rows = class_rows(rng.integers(0, 2, 30), rng.random(30), [str(k % 3) for k in range(30)])
    for each in differences(rows, rows, metrics_for(rows), PatientDraws(50)):
        np.testing.assert_array_equal([each.value, each.lo, each.hi], [0 * each.value] * 3)


def test_pairing_finds_a_small_but_steady_difference():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 600)
    prob = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0.01, 0.99)
    worse = np.clip(prob + rng.normal(0, 0.2, 600), 0.01, 0.99)
    ours, theirs_ = class_rows(truth, prob), class_rows(truth, worse)
    metrics = metrics_for(ours)
    found = line(differences(ours, theirs_, metrics, PatientDraws(300)), "auroc")
    apart = [line(measured(each, PatientDraws(300)), "auroc") for each in (ours, theirs_)]
    assert found.value == pytest.approx(apart[0].value - apart[1].value)
    assert found.lo > 0
    assert found.hi - found.lo < apart[0].hi - apart[0].lo


def test_runs_are_compared_on_the_patients_of_both():
    ours = class_rows([0, 1, 1], [0.1, 0.9, 0.2])
    other = class_rows([0, 1], [0.2, 0.8])
    found = line(differences(ours, other, metrics_for(ours), PLAIN), "accuracy")
    assert (found.value, found.n_patients) == (0, 2)
    strangers = class_rows([0, 1], [0.2, 0.8], patient=["x", "y"])
    with pytest.raises(DataError, match="share no patient"):
        differences(ours, strangers, metrics_for(ours), PLAIN)


def test_groups_are_evaluated_on_their_own():
    rows = class_rows([0, 1, 0, 1], [0.1, 0.9, 0.9, 0.1])
    sites = np.array(["x", "x", "y", "y"])
    found = by_group(rows, sites, metrics_for(rows), PLAIN)
    auroc = {(site, each.fold): each.value for site, each in found if each.metric == "auroc"}
    assert auroc == {("x", "0"): 1, ("x", "pooled"): 1, ("y", "0"): 0, ("y", "pooled"): 0}


def test_risks_of_cox_are_not_pooled():
    rows = survival_rows()
    apart = measured(rows, terms=FollowUpTerms(comparable=False))
    assert list(values(apart, "c_harrell")) == ["0", "1", "2", "mean"]
    assert "pooled" in values(measured(rows, terms=FollowUpTerms()), "c_harrell")


def test_without_the_training_fold_unos_concordance_is_undefined():
    table = measured(survival_rows())
    assert np.isnan(list(values(table, "c_uno").values())).all()
    assert not np.isnan(list(values(table, "c_harrell").values())).any()


def test_risk_groups_are_cut_where_the_training_fold_says():
    rows = survival_rows()
    references = {fold: Reference(cut=0.0) for fold in "012"}
    lines = list(log_rank_lines(rows, FollowUpTerms(references)))
    assert [each.metric for each in lines] == ["logrank_p"] * 3 + ["logrank_p_descriptive"]
    assert lines[-1].value < 1e-3
    assert lines[-1].n_patients == 90
    assert all(np.isnan(each.value) for each in log_rank_lines(rows, FollowUpTerms()))


def test_one_fold_alone_has_a_log_rank_test():
    rows = survival_rows(folds=1)
    found = list(log_rank_lines(rows, FollowUpTerms({"*": Reference(cut=0.0)})))
    assert [each.metric for each in found] == ["logrank_p", "logrank_p"]


def test_a_table_comes_back_from_its_file(tmp_path):
    table = measured(class_rows([0, 1, 1], [0.25, 0.75, 0.5], ["0", "0", "1"]), PatientDraws(20))
    write_estimates(tmp_path / "metrics.csv", table)
    for found, wrote in zip(read_estimates(tmp_path / "metrics.csv"), table, strict=True):
        assert (found.metric, found.fold, found.n_pairs) == (
            wrote.metric,
            wrote.fold,
            wrote.n_pairs,
        )
        np.testing.assert_allclose(
            [found.value, found.lo, found.hi], [wrote.value, wrote.lo, wrote.hi], rtol=1e-5
        )


@given(st.integers(0, 10_000), st.booleans())
def test_metrics_of_numbers_are_those_of_others(seed, ties):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=20)
    value = truth + rng.normal(size=20)
    truth, value = (np.round(truth), np.round(value)) if ties else (truth, value)
    weights = rng.integers(1, 4, (2, 20)).astype(float)
    for row, counts in enumerate(weights.astype(int)):
        x, y = np.repeat(truth, counts), np.repeat(value, counts)
        expected = (
            theirs.r2_score(x, y),
            theirs.mean_absolute_error(x, y),
            stats.spearmanr(x, y)[0],
        )
        ours = (r_squared, absolute_error, spearman)
        found = [metric(truth, value, weights).value[row] for metric in ours]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_constant_has_no_correlation_and_no_variance_to_explain():
    flat, ones = np.ones(4), np.ones((1, 4))
    assert np.isnan(spearman(np.arange(4.0), flat, ones).value[0])
    assert np.isnan(r_squared(flat, np.arange(4.0), ones).value[0])


def test_numbers_and_labels_have_their_tables():
    numbers = ValueRows(
        patient=np.array(["a", "b", "c"]),
        fold=np.array(["0", "0", "1"]),
        truth=np.array([1.0, 2, 3]),
        value=np.array([1.5, 2, 2]),
    )
    assert values(measured(numbers), "mae") == {"0": 0.25, "1": 1, "mean": 0.625, "pooled": 0.5}
    labels = LabelRows(
        patient=np.array(["a", "b", "c"]),
        fold=np.array(["0"] * 3),
        labels=("egfr", "kras"),
        truth=np.array([[1, 0], [0, 1], [1, 1]], bool),
        prob=np.array([[0.9, 0.2], [0.1, 0.1], [0.4, 0.9]]),
    )
    table = measured(labels)
    assert values(table, "auroc:egfr")["pooled"] == 1
    assert values(table, "auroc:kras")["pooled"] == 0.5
    assert values(table, "auroc")["pooled"] == 0.75


def test_classes_are_named_in_their_own_lines():
    rng = np.random.default_rng(0)
    prob = rng.dirichlet(np.ones(3), 30)
    rows = ClassRows(
        patient=np.array([f"p{k}" for k in range(30)]),
        fold=np.array(["0"] * 30),
        truth=np.arange(30) % 3,
        prob=prob,
        predicted=prob.argmax(axis=1),
        classes=("g1", "g2", "g3"),
        ordered=True,
    )
    names = {each.metric for each in measured(rows)}
    assert {"kappa_quadratic", "sensitivity:g2", "auroc:g3", "calibration_slope:g1"} <= names


def test_curves_end_where_they_must():
    rows = class_rows([0, 1, 0, 1], [0.1, 0.8, 0.4, 0.4], ["0", "0", "1", "1"])
    found = {curve.name: curve for curve in curves(rows)}
    roc = [point[2:] for point in found["roc"].points if point[:2] == ("0", "yes")]
    assert roc == [(np.inf, 0, 0), (0.8, 0, 1), (0.1, 1, 1)]
    tied = [point[2:] for point in found["roc"].points if point[:2] == ("1", "yes")]
    assert tied == [(np.inf, 0, 0), (0.4, 1, 1)]
    assert [p[2:] for p in found["precision_recall"].points if p[:2] == ("1", "yes")] == [
        (0.4, 1, 0.5)
    ]
    assert sum(point[-1] for point in found["calibration"].points if point[0] == "yes") == 4


def test_predicted_survival_stands_beside_what_was_observed():
    rows = survival_rows(n=3000, folds=1)
    (curve,) = [each for each in curves(rows) if each.name == "survival_calibration"]
    for _, _, predicted, observed, n in curve.points:
        assert n == 600
        assert observed == pytest.approx(predicted, abs=0.06)


def test_many_draws_are_computed_together(monkeypatch):
    computed, compute = [], concordance._concordance

    def counted(pairs, case_weight, risk, weights):
        computed.append(len(weights))
        return compute(pairs, case_weight, risk, weights)

    # the real one is called: what is counted happens
    monkeypatch.setattr(concordance, "_concordance", counted)
    follow_ups = survival_rows(500, 5)
    reference = Reference.of_training(follow_ups.time, follow_ups.event)
    measured(follow_ups, PatientDraws(), FollowUpTerms({"*": reference}))
    assert sum(computed) > 20 * 1000  # draws of some metrics in five folds
    assert len(computed) < sum(computed) / 50
