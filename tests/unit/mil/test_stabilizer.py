"""The stabiliser: what the anchor is, how it moves, and what it asks of the attention."""

import copy

import pytest
import torch

from wsi_tools.errors import InputError
from wsi_tools.mil import Bag, create_model
from wsi_tools.mil.layers import normalised_sigmoid
from wsi_tools.mil.stabilizer import distillation


def stabilised(name="gated-abmil", **settings):
    torch.manual_seed(0)
    part = {key: value for key, value in settings.items() if key in ("encoder", "channel_fusion")}
    own = {f"stabilize.{key}": value for key, value in settings.items() if key not in part}
    return create_model(name, 8, 2, stabilize="asmil", **part, **own)


def bag(tiles=9):
    torch.manual_seed(1)
    return Bag.of_slide(torch.randn(tiles, 8))


def shifted(model, by=1.0):
    with torch.no_grad():
        for weight in model.model.parameters():
            weight.add_(by)


def test_the_anchor_starts_as_a_copy():
    model = stabilised()
    for slow, fast in zip(model.anchor.parameters(), model.model.parameters(), strict=True):
        assert torch.equal(slow, fast)


def test_a_random_start_is_another_draw():
    model = stabilised(start="random")
    assert not torch.equal(model.anchor.classifier.weight, model.model.classifier.weight)


def test_the_anchor_follows_by_a_warmed_up_moving_average():
    model = stabilised()
    before = model.anchor.classifier.weight.clone()
    shifted(model)
    model.after_step()  # m = (1 + 1) / (10 + 1)
    torch.testing.assert_close(model.anchor.classifier.weight, before + 9 / 11)
    model.after_step()  # m = (1 + 2) / (10 + 2): a quarter of what was left stays
    torch.testing.assert_close(model.anchor.classifier.weight, before + 1 - 2 / 11 / 4)


def test_the_moving_average_settles_at_the_paper_s_momentum():
    model = stabilised()
    model.steps.fill_(100_000)
    before = model.anchor.classifier.weight.clone()
    shifted(model)
    model.after_step()
    torch.testing.assert_close(model.anchor.classifier.weight, before + 0.001)


def test_a_frozen_anchor_never_moves():
    model = stabilised(anchor="frozen")
    before = copy.deepcopy(model.anchor.state_dict())
    shifted(model)
    model.after_step()
    assert all(torch.equal(before[key], value) for key, value in model.anchor.state_dict().items())


def test_no_gradient_reaches_the_anchor():
    model = stabilised()
    model(bag()).auxiliary["stability"].backward()
    assert all(weight.grad is None for weight in model.anchor.parameters())
    assert model.model.attention.weight.weight.grad.any()


def test_the_anchor_has_no_dropout():
    torch.manual_seed(0)
    model = create_model("gated-abmil", 8, 2, stabilize="asmil", dropout=0.5).train()
    assert torch.equal(model.anchor_attention(bag()), model.anchor_attention(bag()))


def test_the_anchor_has_an_encoder_and_a_fusion_of_its_own():
    """Whatever the scores depend on is copied; for ASMIL itself, too."""
    markers = Bag.of_slide(torch.randn(5, 3, 8))
    for model in (
        stabilised(encoder="roformer", channel_fusion="fluoroformer"),
        create_model("asmil", 8, 2, encoder="roformer", channel_fusion="fluoroformer"),
    ):
        before = model.anchor_attention(markers)
        shifted(model)
        assert torch.equal(model.anchor_attention(markers), before)


def test_the_answer_is_the_model_s_own():
    model = stabilised().eval()
    torch.testing.assert_close(model(bag()).logits, model.model(bag()).logits)
    assert model(bag()).auxiliary == {}


def test_the_weight_multiplies_the_divergence():
    one, ten = (stabilised(beta=beta)(bag()).auxiliary["stability"] for beta in (0.1, 1.0))
    torch.testing.assert_close(ten, 10 * one)


def test_training_steps_resume_from_the_state():
    model, other = stabilised(), stabilised(start="random")
    shifted(model)
    model.after_step()
    other.load_state_dict(model.state_dict())
    assert other.steps == 1
    torch.testing.assert_close(other.anchor_attention(bag()), model.anchor_attention(bag()))


def test_the_divergence_is_zero_where_attention_and_target_agree():
    target = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], dtype=torch.float64)
    assert distillation(target.log() + 3, target).abs() < 1e-15


def test_the_released_reduction_is_the_divergence_and_the_target_s_entropy_over_the_bag():
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 11, dtype=torch.float64)
    target = torch.randn(2, 4, 11, dtype=torch.float64).softmax(dim=-1)
    entropy = -(target * target.log()).sum(dim=-1).mean()
    released = distillation(scores, target, "mean_all")
    torch.testing.assert_close(11 * released, distillation(scores, target) + entropy)


def test_the_divergence_is_finite_where_the_softmax_underflows():
    scores = torch.tensor([0.0, 500.0], requires_grad=True)
    loss = distillation(scores, torch.tensor([0.5, 0.5]))
    loss.backward()
    assert loss.item() == pytest.approx(250 - 0.6931, abs=1e-3)
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("floor", [0.0, 2.0, 5.0])
def test_the_normalised_sigmoid_flattens_high_scores(floor):
    weights = normalised_sigmoid(torch.tensor([floor, floor + 1, floor + 50], dtype=torch.float64))
    assert weights.max() / weights.min() <= 1 + torch.tensor(-floor).double().exp()
    assert weights.sum() == pytest.approx(1, abs=1e-7)


def test_a_stabilised_model_is_not_stabilised_again():
    with pytest.raises(InputError, match="pools by no softmax of scores over tiles"):
        create_model("asmil", 8, 2, stabilize="asmil")
