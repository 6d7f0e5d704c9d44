"""The heat of a slide lies where its tiles are, on the part of the slide that has any."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from wsi_tools.heatmap import TileScores
from wsi_tools.heatmap.scale import ramp
from wsi_tools.heatmap.scores import Judges
from wsi_tools.report.cards import SlideCard, _frame, _markers, draw_card
from wsi_tools.report.said import Said
from wsi_tools.report.slides import within
from wsi_tools.store import FeatureStore

SAID = Said("P000-1", "1", "low", "high (0.71)", 0.29)


@pytest.fixture
def scored(made):
    """Make scores of the first slide; the first is the attention."""
    store = made[1] / "P000-1.zarr"
    grid = FeatureStore(store).grid("mpp0.5-px256-ov0")
    judges = Judges(("fold-1",), "tested")

    def make(**columns):
        values = np.stack([column(len(grid)) for column in columns.values()], axis=1)
        names = tuple(name.replace("_", ":") for name in columns)
        return TileScores("P000-1", store, grid, names, values.astype(np.float32), {}, judges)

    return make


def one(place):
    """All the score on one tile."""
    return lambda count: np.eye(count)[place]


def three_quarters(count):
    """Three quarters of the score on the first tile, the rest on the second."""
    return np.array([0.75, 0.25, *np.zeros(count - 2)])


def pixels(uri):
    content = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_hottest_place_is_the_tile_with_the_highest_score(scored):
    scores = scored(attention=np.arange)
    frame = _frame(scores, (256.0, 256.0))
    heat = pixels(draw_card(SAID, scores, 6).heat)
    centre = (scores.grid.xy[-1] + 128 - frame.box[:2]) / frame.box[2:]
    column, row = (centre * heat.shape[1::-1]).astype(int)
    *colour, opacity = heat[row, column].astype(int)
    assert opacity == 255
    assert np.abs(np.array(colour) - ramp("viridis")[-1]).max() < 16  # WebP's loss


def test_where_no_tile_lies_the_heat_is_clear(scored):
    scores = scored(attention=np.arange)
    heat = pixels(draw_card(SAID, scores, 6).heat)
    covered = (heat[..., 3] > 127).mean()
    width, height = _frame(scores, (256.0, 256.0)).box[2:]
    assert covered == pytest.approx(len(scores.grid) * 256**2 / (width * height), abs=0.02)


def test_the_picture_is_cut_to_where_tiles_are(scored):
    """Six of the lattice's 32 rows have tiles; one tile of room is left about them."""
    scores = scored(attention=np.arange)
    left, top, width, height = _frame(scores, (256.0, 256.0)).box
    first, last = scores.grid.xy.min(axis=0), scores.grid.xy.max(axis=0) + 256
    assert (left, top) == tuple(np.maximum(first - 256, 0))
    assert (left + width, top + height) == tuple(np.minimum(last + 256, 8192))


def test_a_card_says_what_was_said_and_who_looked(scored):
    card = draw_card(SAID, scored(attention=np.ones), 6)
    assert card.said == "truth low, predicted high (0.71), fold 1"
    assert card.judges == "Heat: fold-1, tested on this slide."
    assert card.tiles == ()


def test_markers_are_ranked_by_what_they_receive_where_the_model_looks(scored):
    scores = scored(attention=three_quarters, marker_CD8=one(1), marker_DAPI=one(0))
    assert _markers(scores) == "Markers by attention: DAPI 75%, CD8 25%."
    assert _markers(scored(attention=np.ones)) == ""


def test_cards_that_weigh_too_much_are_thinned_out_evenly():
    cards = [
        SlideCard(str(number), "", (1, 1), 60 * "x", "", 40 * "x", "", "", "", ())
        for number in range(10)
    ]
    assert within(1000, cards) == cards
    assert [card.slide_id for card in within(450, cards)] == ["0", "3", "6", "9"]
    assert within(50, cards) == []
