"""Half-precision bags go to bfloat16 products as they are, and answers do not change for it."""

import pytest
import torch

from wsi_tools.mil import Bag, create_model
from wsi_tools.prediction.computing import Computing

PRODUCT_FIRST = ("abmil", "gated-abmil", "clam-sb", "dsmil", "transmil", "acmil", "roformer")


@pytest.mark.parametrize("name", PRODUCT_FIRST)
def test_a_bag_in_half_precision_answers_in_bfloat16_as_one_in_float32_does(name):
    torch.manual_seed(0)
    model, reduced = create_model(name, 64, 2).eval(), Computing("cpu", "bf16")
    stored = torch.randn(120, 64).half()
    answers = []
    for features in (stored, stored.float()):
        with torch.no_grad(), reduced.autocast():
            answers.append(model(reduced.take(Bag.of_slide(features))))
    half, full = answers
    assert torch.equal(half.logits, full.logits)
    assert torch.equal(half.attention, full.attention)


def test_in_float32_features_are_widened_and_in_bfloat16_they_are_not_copied():
    bag = Bag.of_slide(torch.randn(3, 4).half())
    assert Computing("cpu", "fp32").take(bag).features.equal(bag.features.float())
    assert Computing("cpu", "bf16").take(bag).features.data_ptr() == bag.features.data_ptr()


def test_on_a_cpu_bags_are_kept_as_they_are_within_the_whole_budget():
    bag, computing = Bag.of_slide(torch.randn(3, 4).half()), Computing("cpu")
    assert computing.room_gb(2.5) == 2.5
    assert computing.placed(bag).features.data_ptr() == bag.features.data_ptr()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_bags_are_kept_there_in_half_of_what_is_free():
    bag, computing = Bag.of_slide(torch.randn(3, 4).half()), Computing("cuda")
    placed = computing.placed(bag)
    assert placed.features.is_cuda
    assert torch.equal(placed.features.cpu(), bag.features)
    free = torch.cuda.mem_get_info()[0] / 2**30
    assert computing.room_gb(1e6) == pytest.approx(free / 2, abs=0.1)
    assert computing.room_gb(1e6, jobs=4) == pytest.approx(free / 8, abs=0.1)
