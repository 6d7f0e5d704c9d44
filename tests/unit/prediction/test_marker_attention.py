"""The attention among markers stays with its tile, whole bags or parts."""

import pytest
import torch

from wsi_tools.mil import Bag, create_model
from wsi_tools.prediction.answers import answer
from wsi_tools.prediction.computing import Computing
from wsi_tools.tasks import DiscreteSurvival

CPU = Computing("cpu")


@pytest.fixture
def task():
    times, events = torch.arange(1.0, 9.0), torch.ones(8)
    return DiscreteSurvival.of_training(times, events, bins=4)


@pytest.fixture
def bag():
    return Bag.of_slide(torch.randn(7, 3, 8, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def fluoroformer():
    torch.manual_seed(0)
    return create_model("fluoroformer", 8, 4, hidden_dim=16).eval()


def test_an_answer_keeps_what_every_marker_asks_of_every_other(task, bag, fluoroformer):
    said = answer(fluoroformer, bag, task, CPU)
    torch.testing.assert_close(said.pairs, fluoroformer(bag).marker_attention)
    torch.testing.assert_close(said.pairs.sum(dim=2), torch.ones(7, 3))
    torch.testing.assert_close(said.markers, said.pairs.mean(dim=1))


def test_parts_of_a_bag_give_each_tile_its_own_pairs(task, bag, fluoroformer):
    whole = answer(fluoroformer, bag, task, CPU)
    parts = answer(fluoroformer, bag, task, CPU, bag_tiles=3)
    torch.testing.assert_close(parts.pairs, whole.pairs)


def test_a_model_without_markers_has_none(task):
    model = create_model("mean", 8, 4).eval()
    said = answer(model, Bag.of_slide(torch.randn(5, 8)), task, CPU)
    assert said.pairs is None
    assert said.markers is None
