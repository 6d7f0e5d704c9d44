"""Metrics of classes: hand-written values, scikit-learn's, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.linear_model import LogisticRegression

from wsi_tools.errors import DataError
from wsi_tools.metrics import choose_threshold
from wsi_tools.metrics.agreement import confusion
from wsi_tools.metrics.calibration import brier, intercept, slope
from wsi_tools.metrics.ranking import auprc, auroc, calibration_error


def once(metric, truth, score):
    """A metric of one column with every row counted once."""
    truth, score = np.array(truth, dtype=bool), np.array(score, dtype=float)
    weights = np.ones((1, len(truth)))
    if metric in (slope, intercept):
        return metric(truth, score, weights).value[0]
    return metric(truth[:, None], score[:, None], weights).value[0]


def drawn(seed, n, *, ties, classes=2):
    """Truth (n,), probabilities (n, classes), and counts of rows in three draws."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    logits = rng.normal(size=(n, classes)) + np.eye(classes)[truth]
    logits = np.round(logits) if ties else logits
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, prob, rng.integers(1, 4, (3, n)).astype(float)


many = given(st.integers(0, 10_000), st.integers(8, 60), st.booleans())


def test_auroc_counts_ordered_pairs_and_half_the_ties():
    assert once(auroc, [1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1]) == (1 + 1 + 0.5 + 1) / 4


def test_average_precision_by_hand():
    assert once(auprc, [1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("metric", [auroc, auprc, slope, intercept])
@pytest.mark.parametrize("truth", [[1, 1], [0, 0]])
def test_one_class_alone_is_undefined(metric, truth):
    assert np.isnan(once(metric, truth, [0.2, 0.7]))


@settings(max_examples=30)  # the reference is slow
@many
def test_ranking_metrics_are_those_of_scikit_learn(seed, n, ties):
    truth, prob, weights = drawn(seed, n, ties=ties)
    one, score = truth == 1, prob[:, 1]
    for ours, reference in ((auroc, theirs.roc_auc_score), (auprc, theirs.average_precision_score)):
        expected = [reference(one, score, sample_weight=each) for each in weights]
        found = ours(one[:, None], score[:, None], weights).value
        np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(max_examples=30)  # the reference is slow
@many
def test_macro_auroc_is_the_mean_over_the_classes(seed, n, ties):
    truth, prob, _ = drawn(seed, n, ties=ties, classes=4)
    expected = theirs.roc_auc_score(truth, prob, multi_class="ovr", average="macro")
    found = auroc(truth[:, None] == np.arange(4), prob, np.ones((1, n)))
    assert found.value[0] == pytest.approx(expected, abs=1e-12)
    assert found.pairs == sum((truth == k).sum() * (truth != k).sum() for k in range(4))


@settings(max_examples=30)  # the reference is slow
@many
def test_agreement_is_that_of_scikit_learn(seed, n, ties):
    truth, prob, weights = drawn(seed, n, ties=ties, classes=3)
    called = prob.argmax(axis=1)
    table = confusion(truth, called, 3, weights)
    pairs = {
        theirs.balanced_accuracy_score: table.recall(),
        theirs.accuracy_score: table.accuracy(),
        theirs.cohen_kappa_score: table.kappa(ordered=False),
    }
    for reference, ours in pairs.items():
        expected = [reference(truth, called, sample_weight=each) for each in weights]
        np.testing.assert_allclose(ours.value, expected, atol=1e-12)
    quadratic = [
        theirs.cohen_kappa_score(truth, called, weights="quadratic", sample_weight=each)
        for each in weights
    ]
    np.testing.assert_allclose(table.kappa(ordered=True).value, quadratic, atol=1e-12)
    f1 = [theirs.f1_score(truth, called, average="macro", sample_weight=w) for w in weights]
    np.testing.assert_allclose(table.f1().value, f1, atol=1e-12)


def test_quadratic_kappa_forgives_near_misses():
    truth = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    near, far = np.array([0, 1, 2, 3, 1, 2, 3, 2]), np.array([0, 1, 2, 3, 3, 3, 0, 0])
    ones = np.ones((1, 8))
    by_kind = {
        ordered: [
            confusion(truth, each, 4, ones).kappa(ordered=ordered).value[0] for each in (near, far)
        ]
        for ordered in (True, False)
    }
    assert by_kind[True][0] > 0.7 > 0 > by_kind[True][1]
    assert by_kind[False][0] == by_kind[False][1]


def test_a_class_that_is_absent_leaves_balanced_accuracy_undefined():
    table = confusion(np.array([0, 0]), np.array([0, 1]), 2, np.ones((1, 2)))
    assert np.isnan(table.recall().value[0])
    assert table.accuracy().value[0] == 0.5


@settings(max_examples=30)  # the reference is slow
@many
def test_brier_is_that_of_scikit_learn(seed, n, ties):
    truth, prob, weights = drawn(seed, n, ties=ties)
    expected = [theirs.brier_score_loss(truth, prob[:, 1], sample_weight=w) for w in weights]
    found = brier(truth[:, None] == 1, prob[:, 1:], weights).value
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_calibration_error_by_hand():
    """Ten equal bins of two rows: in each, 0.5 was promised and 1 or 0 of 2 came."""
    prob = np.repeat(np.linspace(0.05, 0.95, 10), 2)
    truth = np.tile([1, 0], 10)
    expected = np.abs(np.linspace(0.05, 0.95, 10) - 0.5).mean()
    assert once(calibration_error, truth, prob) == pytest.approx(expected)


def test_equal_probabilities_share_a_bin_whatever_their_order():
    truth, prob = np.array([1, 1, 1, 0, 0, 0] * 4), np.full(24, 0.5)
    assert once(calibration_error, truth, prob) == 0


@given(st.integers(0, 10_000))
def test_calibration_slope_is_a_logistic_regression(seed):
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=80) * 2
    truth = rng.random(80) < 1 / (1 + np.exp(-0.6 * logit - 0.3))
    prob = 1 / (1 + np.exp(-logit))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit[:, None], truth)
    assert once(slope, truth, prob) == pytest.approx(model.coef_[0, 0], rel=1e-4)  # its own stop


def test_true_probabilities_have_slope_one_and_intercept_zero():
    rng = np.random.default_rng(0)
    prob = rng.random(100_000)
    truth = rng.random(100_000) < prob
    assert once(slope, truth, prob) == pytest.approx(1, abs=0.03)
    assert once(intercept, truth, prob) == pytest.approx(0, abs=0.03)


def test_a_shifted_logit_is_the_intercept():
    rng = np.random.default_rng(1)
    logit = rng.normal(size=2000)
    truth = rng.random(2000) < 1 / (1 + np.exp(-logit))
    plain, bold = (once(intercept, truth, 1 / (1 + np.exp(-each))) for each in (logit, logit + 3))
    assert bold == pytest.approx(plain - 3, abs=1e-9)


def test_separated_classes_have_no_calibration_slope():
    assert np.isnan(once(slope, [0, 0, 1, 1], [0.1, 0.3, 0.3, 0.8]))
    assert np.isnan(once(slope, [1, 1, 0, 0], [0.1, 0.2, 0.3, 0.8]))


@given(st.integers(0, 1000), st.permutations(range(20)))
def test_the_order_of_rows_changes_nothing(seed, order):
    truth, prob, _ = drawn(seed, 20, ties=True)
    for metric in (auroc, auprc, calibration_error, brier):
        plain, shuffled = (once(metric, truth[i], prob[i, 1]) for i in (range(20), order))
        np.testing.assert_allclose(plain, shuffled, atol=1e-12)


@given(st.integers(0, 1000), st.booleans())
def test_a_row_that_counts_twice_is_two_rows(seed, ties):
    truth, prob, weights = drawn(seed, 30, ties=ties)
    twice = np.repeat(np.arange(30), weights[0].astype(int))
    one, score = truth == 1, prob[:, 1]
    for metric in (auroc, auprc, calibration_error, brier):
        counted = metric(one[:, None], score[:, None], weights[:1]).value[0]
        assert counted == pytest.approx(once(metric, one[twice], score[twice]), abs=1e-12)


@given(st.integers(0, 1000))
def test_only_the_order_of_scores_matters_to_ranking(seed):
    truth, prob, _ = drawn(seed, 30, ties=True)
    for metric in (auroc, auprc):
        ranks = np.unique(prob[:, 1], return_inverse=True)[1]
        assert once(metric, truth, prob[:, 1]) == once(metric, truth, ranks**3)


def test_the_operating_point_stands_between_the_classes():
    assert choose_threshold(np.array([0, 0, 1, 1], bool), np.array([0.1, 0.2, 0.4, 0.9])) == (
        pytest.approx(0.3)
    )


def test_an_operating_point_needs_both_classes():
    with pytest.raises(DataError, match="enlarge --val"):
        choose_threshold(np.array([True, True]), np.array([0.1, 0.2]))
