"""The discrete-time likelihood, against numbers worked out by hand."""

import math

import torch

from wsi_tools.mil.survival import (
    hazards,
    negative_log_likelihood,
    risk,
    survival,
    time_bins,
)

LOGITS = torch.tensor([[0.0, math.log(3), -math.log(3)]], dtype=torch.float64)  # 1/2, 3/4, 1/4


def nll(bin_number, censored):
    return negative_log_likelihood(LOGITS, torch.tensor([bin_number]), torch.tensor([censored]))


def test_a_time_on_an_edge_falls_in_the_lower_bin():
    assert time_bins(torch.tensor([5.9, 6.0, 6.1]), torch.tensor([6.0, 14.0])).tolist() == [0, 0, 1]


def test_hazards_and_survival():
    torch.testing.assert_close(hazards(LOGITS)[0].tolist(), [0.5, 0.75, 0.25])
    torch.testing.assert_close(survival(LOGITS)[0].tolist(), [0.5, 0.125, 0.09375])
    torch.testing.assert_close(risk(LOGITS).item(), -0.71875)


def test_an_event_survived_the_bins_before_its_own():
    torch.testing.assert_close(nll(1, 0).item(), -math.log(0.5 * 0.75))


def test_a_censored_case_survived_its_bin():
    torch.testing.assert_close(nll(1, 1).item(), -math.log(0.5 * 0.25))


def test_the_chances_of_all_follow_ups_sum_to_one():
    events = sum(math.exp(-nll(bin_number, 0).item()) for bin_number in range(3))
    assert math.isclose(events + math.exp(-nll(2, 1).item()), 1.0)


def test_saturated_hazards_keep_a_finite_loss_and_gradient():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = negative_log_likelihood(logits, torch.tensor([1]), torch.tensor([0]))
    loss.sum().backward()
    assert loss.item() == 400.0
    assert logits.grad.tolist() == [[1.0, -1.0]]
