"""Survival as a task: bins, the two likelihoods, the baseline, and the sign of every risk."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter

from wsi_tools.errors import DataError, InputError
from wsi_tools.tasks import CoxSurvival, DiscreteSurvival, follow_up
from wsi_tools.tasks.cox import breslow, efron

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torchsurv compiles its validators in a deprecated way
    from torchsurv.loss.cox import neg_partial_log_likelihood


def patients(seed, n, *, ties):
    """Covariates (n, 2), times and events, with whole numbers for ties."""
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(n, 2))
    times = rng.exponential(8 * np.exp(-covariates @ [0.7, -0.4]))
    times = np.ceil(times) if ties else times
    return covariates, times, rng.random(n) < 0.6


def test_bins_are_quantiles_of_uncensored_times():
    times, events = [1, 2, 3, 4, 5, 100], [1, 1, 1, 1, 1, 0]
    assert DiscreteSurvival.of_training(times, events, bins=4).edges == (2, 3, 4)


def test_equal_quantiles_become_one_bin():
    task = DiscreteSurvival.of_training([5, 5, 5, 5, 9], [1] * 5, bins=4)
    assert task.edges == (5,)
    assert task.width == 2


def test_no_event_in_the_training_fold_is_bad_data():
    with pytest.raises(DataError, match="every training patient is censored"):
        DiscreteSurvival.of_training([1, 2], [0, 0])


def test_one_bin_is_a_usage_error():
    with pytest.raises(InputError, match="--bins 1"):
        DiscreteSurvival.of_training([1, 2], [1, 1], bins=1)


def test_the_likelihood_agrees_with_the_released_one_up_to_its_eps(golden_file):
    case = np.load(golden_file("survival_nll"), allow_pickle=False)
    task = DiscreteSurvival(tuple(case["in/cutoffs"].tolist()), "end")
    logits = torch.from_numpy(case["in/logits"]).double()
    loss = task.loss(logits, follow_up(case["in/time"], 1 - case["in/censor"][:, 0]))
    assert loss.item() == pytest.approx(float(case["out/loss_mean"]), abs=1e-6)  # eps 1e-8 / hazard
    for row, expected in zip(logits, case["out/risk"], strict=True):
        assert task.read(row)["risk"] == pytest.approx(float(expected), abs=1e-9)


def fitted_survival(censor_in_bin, target):
    """S at the single edge of a model that has one pair of logits for everybody."""
    task = DiscreteSurvival((10.0,), censor_in_bin)
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        loss = task.loss(logits.expand(len(target), 2), target)
        loss.backward()
        return loss

    optimizer.step(step)
    return task.read(logits[0])["surv_10"]


def test_half_a_bin_gives_the_hazard_of_the_life_table():
    """10 patients, 3 events and 4 censored in the first bin: hazard 3 / (10 - 4 / 2)."""
    target = follow_up([5] * 7 + [20] * 3, [1] * 3 + [0] * 4 + [1, 0, 0])
    assert fitted_survival("half", target) == pytest.approx(1 - 3 / 8, abs=1e-5)  # LBFGS stops
    assert fitted_survival("end", target) == pytest.approx(1 - 3 / 10, abs=1e-5)


@pytest.mark.parametrize("bin_number", [0, 1, 2])
def test_a_likelier_early_event_is_a_higher_risk(bin_number):
    task = DiscreteSurvival((6.0, 14.0))
    logits = torch.tensor([0.3, -0.2, 0.1])
    raised = logits + torch.eye(3)[bin_number]
    assert task.read(raised)["risk"] > task.read(logits)["risk"]


def test_the_curve_is_told_at_the_edges():
    row = DiscreteSurvival((6.0, 14.5)).read(torch.tensor([0.0, math.log(3), 0.0]))
    assert row == pytest.approx({"risk": -0.6875, "surv_6": 0.5, "surv_14.5": 0.125})


def test_a_discrete_loss_teaches_that_early_events_are_high_risks():
    target = follow_up([1, 2, 8, 9], [1, 1, 1, 0])
    task = DiscreteSurvival.of_training(target[:, 0], target[:, 1], bins=2)
    assert gradient_orders(task, target)


def test_a_cox_loss_teaches_that_early_events_are_high_risks():
    assert gradient_orders(CoxSurvival(), follow_up([1, 2, 8, 9], [1, 1, 1, 0]))


def gradient_orders(task, target):
    """Whether steps down the gradient put the two early events above the two late times."""
    logits = torch.zeros(len(target), task.width, dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        (slope,) = torch.autograd.grad(task.loss(logits, target), logits)
        logits = (logits - slope).detach().requires_grad_()
    risks = [task.read(row)["risk"] for row in logits]
    return min(risks[:2]) > max(risks[2:])


def test_partial_likelihood_of_three_patients():
    """Events at 1 and 2, one censored at 3, hazard ratios 1, 2 and 4."""
    scores = torch.tensor([0, math.log(2), math.log(4)], dtype=torch.float64)
    loss = efron(scores, follow_up([1, 2, 3], [1, 1, 0]))
    assert loss.item() == pytest.approx(-(math.log(1 / 7) + math.log(2 / 6)) / 2)


def test_partial_likelihood_of_two_tied_events():
    """Efron: the second of two tied events leaves half of both in the risk set."""
    scores = torch.tensor([0, math.log(2), math.log(4)], dtype=torch.float64)
    loss = efron(scores, follow_up([1, 1, 3], [1, 1, 0]))
    assert loss.item() == pytest.approx(-math.log(2 / (7 * (7 - 1.5))) / 2)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_partial_likelihood_of_lifelines(seed, ties):
    covariates, times, events = patients(seed, 120, ties=ties)
    frame = pd.DataFrame({"a": covariates[:, 0], "b": covariates[:, 1], "t": times, "e": events})
    cox = CoxPHFitter().fit(frame, "t", "e")
    scores = torch.from_numpy(covariates @ cox.params_.to_numpy())
    target = follow_up(times, events)
    ours = -efron(scores, target).item() * events.sum()
    assert ours == pytest.approx(cox.log_likelihood_, rel=1e-9)

    centred = torch.from_numpy((covariates - covariates.mean(axis=0)) @ cox.params_.to_numpy())
    at, log_hazard = breslow(centred, target)
    theirs = cox.baseline_cumulative_hazard_.loc[at.numpy(), "baseline cumulative hazard"]
    if not ties:  # at ties lifelines spreads the baseline as Efron does
        np.testing.assert_allclose(log_hazard.exp().numpy(), theirs.to_numpy(), rtol=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
def test_partial_likelihood_of_torchsurv(seed, n, ties):
    covariates, times, events = patients(seed, n, ties=ties)
    events[np.argmin(times)] = True
    times = times + 0.5 * ~events  # torchsurv drops who is censored at the time of an event
    scores = torch.from_numpy(covariates[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchsurv says when it sees ties
        theirs = neg_partial_log_likelihood(
            scores, torch.from_numpy(events), torch.from_numpy(times), reduction="sum"
        ).item()  # Efron by default; its mean is over distinct times
    ours = efron(scores, follow_up(times, events)).item() * events.sum()
    assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)  # torchsurv sums in single precision


def test_partial_likelihood_is_finite_for_any_scores():
    scores = torch.tensor([-900.0, 900.0, 0.0], requires_grad=True)
    loss = efron(scores, follow_up([1, 1, 2], [1, 1, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@given(st.permutations(range(12)))
def test_partial_likelihood_knows_no_order(order):
    covariates, times, events = patients(3, 12, ties=True)
    scores, target = torch.from_numpy(covariates[:, 0]), follow_up(times, events)
    shuffled = efron(scores[list(order)], target[list(order)])
    assert shuffled.item() == pytest.approx(efron(scores, target).item(), abs=1e-12)


def test_a_batch_of_one_patient_is_a_usage_error():
    with pytest.raises(InputError, match="--accumulate 16"):
        CoxSurvival().loss(torch.zeros(1, 1), follow_up([1], [1]))


@pytest.mark.parametrize(
    ("times", "events", "informs"),
    [
        ([1, 2], [1, 0], True),
        ([1, 2], [0, 1], False),
        ([1, 1], [1, 0], True),
        ([1, 1], [1, 1], False),
        ([1, 2], [0, 0], False),
    ],
)
def test_a_step_is_worth_taking_where_somebody_outlived_somebody(times, events, informs):
    assert CoxSurvival().informs(follow_up(times, events)) is informs


def test_survival_follows_the_baseline_of_the_training_fold():
    """Events at 1 and 2 of three equal patients: cumulative hazards 1/3 and 1/3 + 1/2."""
    target = follow_up([1, 2, 3], [1, 1, 0])
    task = CoxSurvival((0.5, 1.0, 2.5)).settled(torch.zeros(3, 1), target)
    row = task.read(torch.tensor([math.log(2)]))
    expected = [math.log(2), 1.0, math.exp(-2 / 3), math.exp(-5 / 3)]
    assert list(row.values()) == pytest.approx(expected)
    assert list(row) == ["risk", "surv_0.5", "surv_1", "surv_2.5"]


def test_without_a_baseline_only_the_risk_is_told():
    assert CoxSurvival((12.0,)).read(torch.tensor([0.25])) == {"risk": 0.25}
