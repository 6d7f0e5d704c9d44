"""ASMIL's tokens: which are dropped, when, and what their classifiers learn."""

import pytest
import torch

from wsi_tools.mil import Bag
from wsi_tools.mil.asmil import ASMIL, TokenMIL


def tokens(**settings):
    torch.manual_seed(0)
    return TokenMIL(8, 3, tokens=6, dim=16, heads=2, **settings).train()


def test_evaluation_keeps_every_token():
    assert tokens(drop_ratio=0.5).eval().kept(6).tolist() == [0, 1, 2, 3, 4, 5]


def test_counting_drops_the_same_number_and_other_tokens():
    model = tokens(drop_ratio=0.5, token_drop="count")
    kept = [tuple(sorted(model.kept(6).tolist())) for _ in range(20)]
    assert {len(rows) for rows in kept} == {3}
    assert len(set(kept)) > 5


def test_bernoulli_drops_half_on_average():
    model = tokens(drop_ratio=0.5)
    counts = torch.tensor([len(model.kept(6)) for _ in range(2000)], dtype=torch.float64)
    assert counts.mean().item() == pytest.approx(3.0, abs=0.15)
    assert counts.min() == 1
    assert counts.max() == 6


@pytest.mark.parametrize("kind", ["bernoulli", "count"])
def test_one_token_always_remains(kind):
    assert len(tokens(drop_ratio=1.0, token_drop=kind).kept(6)) == 1


def test_token_classifiers_are_frozen_without_a_branch_loss():
    assert not any(w.requires_grad for w in tokens().token_classifiers.parameters())
    assert all(w.requires_grad for w in tokens(branch_weight=1.0).token_classifiers.parameters())


def test_a_branch_loss_trains_the_token_classifiers():
    model = tokens(branch_weight=1.0)
    output = model(Bag.of_slide(torch.randn(5, 8)), torch.tensor(1))
    output.auxiliary["branch"].backward()
    assert all(weight.grad.any() for weight in model.token_classifiers.parameters())


def test_queries_start_next_to_zero():
    """N(0, (1e-6)²), as released: attention starts from the biases of the projections alone."""
    model = ASMIL(8, 3, tokens=64, dim=64)
    assert model.model.tokens.std().item() == pytest.approx(1e-6, rel=0.1)
    assert not model.model.bag_token.any()
