"""The sample slides: what the demo and the start page count on."""

import runpy
from hashlib import sha256

import pytest
from shapely import Polygon

from wsi_tools import PRESETS, TileSpec, open_slide, segment, tile

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slides(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    runpy.run_path(str(root / "sample_data" / "make_slides.py"))["main"](folder)
    return folder


def test_they_are_the_same_bytes_each_time_and_small(slides, root, tmp_path):
    runpy.run_path(str(root / "sample_data" / "make_slides.py"))["main"](tmp_path)
    for path in slides.iterdir():
        again = tmp_path / path.name
        assert sha256(path.read_bytes()).digest() == sha256(again.read_bytes()).digest()
        assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("reader", ["openslide", "tiffslide"])
@pytest.mark.parametrize(
    ("name", "mpp", "power"),
    [("colon_a", 0.5, 20), ("colon_b", 0.25, 40), ("colon_c", 0.2738, 40)],
)
def test_both_readers_find_aperio_and_its_scale(slides, reader, name, mpp, power):
    with open_slide(slides / f"{name}.svs", reader=reader) as slide:
        assert slide.info.vendor == "aperio"
        assert slide.info.mpp == (mpp, mpp)
        assert slide.info.objective_power == power
        assert [round(level.downsample, 3) for level in slide.info.levels] == [1, 4, 16]
        assert slide.info.layout.tile_px == (256, 256)


@pytest.mark.parametrize("name", ["colon_a", "colon_b", "colon_c"])
def test_each_gives_a_few_dozen_tiles_of_the_tissue_and_the_hole_that_were_drawn(slides, name):
    with open_slide(slides / f"{name}.svs") as slide:
        tissue = segment(slide, PRESETS["ihc"])
        grid = tile(slide.info, tissue, TileSpec(px=256, mpp=0.5))
    um2_per_px = slide.info.mpp[0] ** 2
    piece = max(tissue.outlines.geoms, key=lambda each: each.area)
    hole = max(piece.interiors, key=lambda ring: Polygon(ring).area)
    assert piece.area * um2_per_px == pytest.approx(460_000, rel=0.05)
    assert Polygon(hole).area * um2_per_px == pytest.approx(22_500, rel=0.1)
    assert len(grid) == 44
