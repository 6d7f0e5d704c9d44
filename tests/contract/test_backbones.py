"""Every registered backbone keeps its card's word, whoever added it."""

import pytest
import torch

from wsi_tools.embedding.backbones import load_backbone
from wsi_tools.embedding.cards import BACKBONES, SCHEMES, feature_key, find_card

pytestmark = pytest.mark.parametrize("name", list(BACKBONES))


def test_its_card_is_complete(name):
    card = find_card(name)
    assert card.name == name
    assert card.scheme in SCHEMES
    assert None not in (card.width, card.px, card.mean, card.std, card.interpolation)
    assert card.licence
    assert card.paper
    assert card.page


def test_its_key_in_a_store_is_its_name(name):
    assert feature_key(name) == name


@pytest.mark.slow
def test_it_gives_the_width_that_its_card_says(name):
    backbone = load_backbone(name, weights="random:0")
    tiles = torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    assert backbone.card == find_card(name)
    assert backbone.embed(tiles).shape == (1, find_card(name).width)
