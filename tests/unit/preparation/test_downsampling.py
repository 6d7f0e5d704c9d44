"""`--fast-downsample`: where tiles are decoded smaller, and what is remembered of it."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from wsi_tools.errors import StoreError
from wsi_tools.preparation import Embedding, Preparation, Reading, Segmenting, Task, Tiling
from wsi_tools.preparation.downsampling import FastView, shrink_of
from wsi_tools.slide import open_slide
from wsi_tools.slide.discovery import Source
from wsi_tools.slide.sampling import read_box
from wsi_tools.store import FeatureStore
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import segment

TINY = "timm:test_resnet.r160_in1k"
EMBEDDING = Embedding(((TINY, "random:0"),), device="cpu", precision="fp32", min_tissue=0.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Tissue of 768 px in JPEG tiles."""
    path = tmp_path_factory.mktemp("slides") / "slide.tiff"
    noise = np.random.default_rng(3).integers(0, 90, (96, 96, 3), np.uint8)
    pixels = np.full((1024, 1024, 3), 245, np.uint8)
    pixels[128:896, 128:896] = noise.repeat(8, 0).repeat(8, 1) + np.uint8([90, 20, 90])
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="jpeg")
    return path


def grid_of(path, spec, **how):
    with open_slide(path, **how) as slide:
        return tile(slide.info, segment(slide), spec)


@pytest.mark.parametrize(
    ("slide_mpp", "tile_mpp", "expected"),
    [
        (0.25, 0.5, 2),
        (0.25, 1.0, 4),
        (0.25, 2.0, 8),
        (0.5, 0.5, 1),
        (0.252, 0.5, 1),
        (0.25, 1.5, 1),
    ],
)
def test_tiles_just_so_many_times_coarser_are_decoded_smaller(path, slide_mpp, tile_mpp, expected):
    grid = grid_of(path, TileSpec(px=64, mpp=tile_mpp), mpp_override=slide_mpp)
    with open_slide(path, mpp_override=slide_mpp) as slide:
        assert shrink_of(slide, grid) == expected


def test_tiles_that_begin_between_pixels_of_the_smaller_picture_are_not(path):
    grid = grid_of(path, TileSpec(px=64, mpp=0.5), mpp_override=0.25)
    with open_slide(path, mpp_override=0.25) as slide:
        assert shrink_of(slide, replace(grid, xy=grid.xy + np.int32(1))) == 1


def test_a_reader_that_decodes_no_tiles_gives_the_exact_means_and_says_so(path):
    grid = grid_of(path, TileSpec(px=64, mpp=0.5), mpp_override=0.25)
    with open_slide(path, reader="openslide", mpp_override=0.25) as slide:
        view = FastView(slide, grid)
        with view.shown() as shown:
            assert shown is slide
    assert view.attributes() == {"decoded_at": 1.0}
    (warning,) = view.warnings()
    assert "exact area means instead" in warning


def test_a_slide_as_fine_as_its_tiles_is_nothing_to_warn_of(path):
    grid = grid_of(path, TileSpec(px=64, mpp=0.5), mpp_override=0.5)
    with open_slide(path, mpp_override=0.5) as slide:
        view = FastView(slide, grid)
    assert view.warnings() == ()
    assert view.request() == {"downsample": "dct"}


def test_the_boxes_of_a_grid_are_the_same_places_of_the_smaller_picture(path):
    grid = grid_of(path, TileSpec(px=64, mpp=1.0), mpp_override=0.25)
    with open_slide(path, mpp_override=0.25) as slide, slide.shrunk(4) as small:
        for row in range(len(grid)):
            exact, fast = (
                read_box(each, grid.box(row), (64, 64), grid.level).astype(int)
                for each in (slide, small)
            )
            beside = np.roll(exact, 1, axis=1)
            assert np.abs(exact - fast).mean() < 4 < np.abs(exact - beside).mean()  # grey levels


def test_fast_and_exact_features_are_never_taken_for_each_other(path, tmp_path):
    task = Task(Source(path, "slide"), tmp_path / "project" / "slide.zarr")
    exact = Preparation(
        "embed",
        Reading(mpp_override=0.25),
        Segmenting(),
        tiling=Tiling(TileSpec(px=64, mpp=0.5)),
        embedding=EMBEDDING,
    )
    fast = replace(exact, embedding=replace(EMBEDDING, fast_downsample=True))
    fast(task, lambda *_: None)
    store = FeatureStore(task.store)
    (key,) = store.grid_keys()
    (name,) = store.feature_names(key)
    made = store.feature_attributes(key, name)
    assert made["request"]["downsample"] == "dct"
    assert made["decoded_at"] == 0.5
    fast(task, lambda *_: None)  # is there already
    with pytest.raises(StoreError, match="downsample"):
        exact(task, lambda *_: None)
