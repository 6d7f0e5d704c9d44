"""Metrics of survival: hand-written values, lifelines', torchsurv's, and the sign of risk."""

import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index

from wsi_tools.errors import DataError
from wsi_tools.metrics import Reference
from wsi_tools.metrics.censoring import kaplan_meier, log_rank_p
from wsi_tools.metrics.concordance import auc_at, harrell, uno

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torchsurv compiles its validators in a deprecated way
    from torchsurv.metrics.auc import Auc
    from torchsurv.metrics.cindex import ConcordanceIndex
    from torchsurv.stats.ipcw import get_ipcw


def followed(seed, n, *, ties):
    """Times, events and risks of patients; whole numbers and tenths where ties are wanted."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    seen, gone = rng.exponential(np.exp(-risk) * 10, n), rng.exponential(15, n)
    time, event = np.minimum(seen, gone), seen <= gone
    return (np.ceil(time), event, np.round(risk)) if ties else (time, event, risk)


def single(values):
    return torch.from_numpy(values).float()  # torchsurv mixes in single precision anyway


def once(metric, time, event, risk, *more):
    time, risk = np.array(time, dtype=float), np.array(risk, dtype=float)
    return metric(time, np.array(event, bool), risk, np.ones((1, len(time))), *more)


def test_concordance_by_hand():
    """Pairs with the event at 1: wins over 2, loses to 3, ties with 4; at 3: wins over 4."""
    found = once(harrell, [1, 2, 3, 4], [1, 0, 1, 0], [5, 1, 9, 5])
    assert found.value[0] == (1 + 0 + 0.5 + 1) / 4
    assert found.pairs == 4


@pytest.mark.parametrize(("event", "pairs"), [([1, 0], 1), ([0, 1], 1), ([1, 1], 0), ([0, 0], 0)])
def test_at_one_time_only_an_event_and_a_censored_are_comparable(event, pairs):
    found = once(harrell, [7, 7], event, [1, 0])
    assert found.pairs == pairs
    assert np.isnan(found.value[0]) == (pairs == 0)


def test_a_higher_risk_means_an_earlier_event():
    reference = Reference.of_training(np.array([1.0, 2, 3, 4]), np.ones(4, bool))
    ordered = [1, 2, 3, 4], [1, 1, 1, 1], [4, 3, 2, 1]
    assert once(harrell, *ordered).value[0] == 1
    assert once(uno, *ordered, reference).value[0] == 1
    assert (
        auc_at(
            2,
            *map(np.array, ordered[:1]),
            np.ones(4, bool),
            np.array([4, 3, 2, 1]),
            np.ones((1, 4)),
            reference,
        ).value[0]
        == 1
    )
    assert once(harrell, [1, 2, 3, 4], [1, 1, 1, 1], [1, 2, 3, 4]).value[0] == 0


def test_concordance_of_the_released_code(golden_file):
    case = np.load(golden_file("survival_nll"), allow_pickle=False)
    follow_ups = case["in/time"], case["in/censor"][:, 0] == 0
    found = once(harrell, *follow_ups, case["out/risk"]).value[0]
    assert found == pytest.approx(float(case["out/cindex_risk"]), abs=1e-9)
    hazards = case["out/hazard"].T  # the released code takes a hazard for a survival score
    flipped = [once(harrell, *follow_ups, -each).value[0] for each in hazards]
    np.testing.assert_allclose(flipped, case["out/cindex_per_bin_hazard"], atol=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 60), st.booleans())
def test_harrells_concordance_is_that_of_lifelines(seed, n, ties):
    time, event, risk = followed(seed, n, ties=ties)
    found = once(harrell, time, event, risk)
    if found.pairs:
        expected = concordance_index(time, -risk, event)
        assert found.value[0] == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
def test_a_patient_who_is_drawn_twice_is_two_patients(seed, n, ties):
    time, event, risk = followed(seed, n, ties=ties)
    counts = np.random.default_rng(seed).integers(0, 3, (4, n)).astype(float)
    found = harrell(time, event, risk, counts)
    for value, count in zip(found.value, counts, strict=True):
        again = np.repeat(np.arange(n), count.astype(int))
        np.testing.assert_allclose(
            value, once(harrell, time[again], event[again], risk[again]).value[0]
        )


@given(st.integers(0, 1000), st.permutations(range(25)))
def test_neither_order_nor_scale_of_risks_matters(seed, order):
    time, event, risk = followed(seed, 25, ties=True)
    at = list(order)
    plain = once(harrell, time, event, risk).value[0]
    assert once(harrell, time[at], event[at], np.exp(2 * risk[at])).value[0] == plain
    assert once(harrell, time * 365.25, event, risk).value[0] == plain
    assert once(harrell, time, event, -risk).value[0] == pytest.approx(1 - plain)


def test_blocks_of_cases_are_one_table():
    """More cases than a block holds, against a loop over pairs."""
    time, event, risk = followed(5, 700, ties=True)
    later = (time[:, None] < time) | ((time[:, None] == time) & ~event[None, :])
    pairs = later & event[:, None]
    wins = (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)
    assert once(harrell, time, event, risk).value[0] == pytest.approx(
        (wins * pairs).sum() / pairs.sum(), abs=1e-12
    )


@settings(max_examples=30)  # the reference is slow
@given(st.integers(0, 10_000), st.integers(20, 60))
def test_unos_concordance_is_that_of_torchsurv(seed, n):
    time, event, risk = followed(seed, n, ties=False)
    if not event.any():
        return
    tensors = single(risk), torch.from_numpy(event), single(time)
    weight = get_ipcw(tensors[1], tensors[2])
    theirs = ConcordanceIndex()(*tensors, weight=weight, tmax=tensors[2][tensors[1]].max())
    found = once(uno, time, event, risk, Reference.of_training(time, event))
    if found.pairs:
        assert found.value[0] == pytest.approx(theirs.item(), abs=1e-4)  # single precision


@settings(max_examples=30)  # the reference is slow
@given(st.integers(0, 10_000), st.integers(30, 60))
def test_time_dependent_auc_is_that_of_torchsurv(seed, n):
    time, event, risk = followed(seed, n, ties=False)
    reference = Reference.of_training(time, event)
    horizon = reference.quartiles[1] + 1e-6  # between two times
    tensors = single(risk), torch.from_numpy(event), single(time)
    at = torch.tensor([horizon])
    theirs = Auc()(
        *tensors,
        weight=get_ipcw(tensors[1], tensors[2]),
        new_time=at,
        weight_new_time=get_ipcw(tensors[1], tensors[2], at),
    )
    ones = np.ones((1, n))
    found = auc_at(horizon, time, event, risk, ones, reference)
    assert found.value[0] == pytest.approx(theirs.item(), abs=1e-4)  # single precision


def test_without_censoring_unos_is_harrells_and_the_auc_is_plain():
    time, _, risk = followed(2, 50, ties=True)
    event = np.ones(50, bool)
    far = Reference(tau=np.inf)
    assert once(uno, time, event, risk, far).value[0] == once(harrell, time, event, risk).value[0]
    early, risks = time <= 5, risk
    wins = (risks[early, None] > risks[~early]) + 0.5 * (risks[early, None] == risks[~early])
    found = auc_at(5, time, event, risk, np.ones((1, 50)), far)
    assert found.value[0] == pytest.approx(wins.mean())


def test_the_share_not_yet_censored_by_hand():
    """Censored at 2 (of 4 at risk then) and at 5 (of 2; who has the event at 5 is not at risk)."""
    time, event = np.array([1.0, 2, 3, 5, 5, 8]), np.array([1, 0, 1, 0, 1, 1], bool)
    reference = Reference.of_training(time, event)
    assert reference.tau == 8
    at = np.array([2, 2.5, 5, 5.1])
    expected = [1, 0.8, 0.8, 0.8 * 0.5]
    np.testing.assert_allclose(reference.uncensored(at), expected)


def test_late_events_are_left_to_the_training_folds_tau():
    reference = Reference(tau=3.0)
    found = once(uno, [1, 2, 3, 4], [1, 1, 1, 1], [0, 1, 2, 3], reference)
    assert found.pairs == 3 + 2


def test_a_reference_survives_json():
    time, event, risk = followed(1, 20, ties=True)
    reference = Reference.of_training(time, event, risk)
    assert Reference.from_json(reference.as_json()) == reference
    assert reference.cut == np.median(risk)
    with pytest.raises(DataError, match="'tau'"):
        Reference.from_json(reference.as_json() | {"tau": "late"})


def test_no_reference_without_an_event():
    with pytest.raises(DataError, match="every training patient is censored"):
        Reference.of_training(np.array([1.0]), np.array([False]))


@settings(max_examples=30)  # the reference is slow
@given(st.integers(0, 10_000), st.integers(1, 40), st.booleans())
def test_kaplan_meier_is_that_of_lifelines(seed, n, ties):
    time, event, _ = followed(seed, n, ties=ties)
    curve = kaplan_meier(time, event)
    theirs = KaplanMeierFitter().fit(time, event)
    expected = theirs.survival_function_at_times(curve.time).to_numpy()
    np.testing.assert_allclose(curve.survival, expected, atol=1e-12)


@settings(max_examples=30)  # the reference is slow
@given(st.integers(0, 10_000), st.integers(6, 60), st.booleans())
def test_log_rank_is_that_of_lifelines(seed, n, ties):
    time, event, risk = followed(seed, n, ties=ties)
    high = risk > np.median(risk)
    ours = log_rank_p(time, event, high)
    if not np.isnan(ours):
        theirs = logrank_test(time[high], time[~high], event[high], event[~high]).p_value
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_an_empty_risk_group_has_no_log_rank():
    assert np.isnan(log_rank_p(np.array([1.0, 2]), np.ones(2, bool), np.zeros(2, bool)))


def test_ten_thousand_patients_are_compared_without_a_table_of_all_pairs():
    time, event, risk = followed(0, 10_000, ties=False)
    tracemalloc.start()
    once(harrell, time, event, risk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000**2  # bytes: a quarter of such a table in float32
