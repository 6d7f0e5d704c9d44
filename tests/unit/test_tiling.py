from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from wsi_tools.errors import InputError, SlideError
from wsi_tools.slide import Bounds, Layout, Level, Resolution, SlideInfo, open_slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import TissueMask, TissueOptions, segment


def info_of(
    size: tuple[int, int],
    mpp: tuple[float, float] = (0.5, 0.5),
    downsamples: tuple[float, ...] = (1.0,),
    bounds: Bounds | None = None,
) -> SlideInfo:
    resolution = Resolution("test", *mpp)
    return SlideInfo(
        path=Path("case.svs"),
        reader="openslide",
        vendor="aperio",
        levels=tuple(Level((int(size[0] / d), int(size[1] / d)), d) for d in downsamples),
        resolutions=(resolution,),
        resolution=resolution,
        bounds=bounds or Bounds(0, 0, *size),
        channels=(),
        layout=Layout(None, "none"),
        objective_power=None,
        tried=(),
        warnings=(),
        fingerprint="",
    )


def mask_on(info: SlideInfo, mask: np.ndarray) -> TissueMask:
    scale = (info.size[0] / mask.shape[1], info.size[1] / mask.shape[0])
    thumbnail = np.zeros((*mask.shape, 3), np.uint8)
    return TissueMask(shapely.MultiPolygon(), mask.astype(np.uint8), scale, thumbnail, "none", {})


def all_tissue(info: SlideInfo) -> TissueMask:
    return mask_on(info, np.ones((8, 8)))


@pytest.mark.parametrize("mpp", [0.23, 0.25, 0.265, 0.2738, 0.499])
def test_the_sampled_edge_of_a_tile_is_the_one_asked_for_whatever_the_slides_pixel(tmp_path, mpp):
    """Read the physical length off the pixels: grey is the distance from the left, in µm."""
    grey_per_um = 1.25
    width, height = round(200 / mpp), round(140 / mpp)
    x_um = (np.arange(width) + 0.5) * mpp
    dither = np.random.default_rng(0).random((height, width))
    grey = np.floor(x_um * grey_per_um + dither).astype(np.uint8)
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "ramp.png")
    with open_slide(tmp_path / "ramp.png", mpp_override=mpp) as slide:
        tissue = segment(slide, TissueOptions(method="none"))
        grid = tile(slide.info, tissue, TileSpec(px=256, mpp=0.5))
        pixels = read_box(slide, grid.box(0), (256, 256), grid.level)
    slope = np.polyfit(np.arange(256), pixels[..., 0].mean(axis=0), 1)[0]
    edge_um = 256 * slope / grey_per_um
    assert edge_um == pytest.approx(128.0, rel=1e-3)


@pytest.mark.parametrize("mpp", [0.23, 0.25, 0.265, 0.2738, 0.499])
def test_the_side_of_a_tile_is_never_rounded(mpp):
    info = info_of((8000, 6000), (mpp, mpp))
    grid = tile(info, all_tissue(info), TileSpec(px=256, mpp=0.512))
    assert grid.level0_px == (256 * 0.512 / mpp, 256 * 0.512 / mpp)
    assert grid.box(1)[2:] == grid.level0_px
    assert grid.mpp == (0.512, 0.512)
    assert grid.resampled


def test_corners_are_rounded_once_and_do_not_drift():
    info = info_of((60_000, 600), (0.2738, 0.2738))
    grid = tile(info, all_tissue(info), TileSpec(px=256, mpp=0.5))
    exact = np.arange(129) * (256 * 0.5 / 0.2738)
    assert np.abs(grid.xy[:129, 0] - exact).max() <= 0.5


def test_a_level_within_the_tolerance_is_used_unresampled():
    info = info_of((8000, 6000), (0.4996, 0.4996), (1.0, 4.0))
    grid = tile(info, all_tissue(info), TileSpec(px=224, mpp=2.0))
    assert (grid.level, grid.read_px, grid.resampled) == (1, (224.0, 224.0), False)
    assert grid.level0_px == (896.0, 896.0)
    assert grid.mpp == (0.4996 * 4, 0.4996 * 4)


def test_a_level_outside_the_tolerance_is_resampled_to_exact_microns():
    info = info_of((8000, 6000), (0.499, 0.499), (1.0, 4.0))
    grid = tile(info, all_tissue(info), TileSpec(px=224, mpp=2.0))
    assert (grid.level, grid.resampled, grid.mpp) == (1, True, (2.0, 2.0))
    assert grid.read_px == pytest.approx((224 * 2 / 1.996, 224 * 2 / 1.996))
    wider = tile(info, all_tissue(info), TileSpec(px=224, mpp=2.0, mpp_tolerance=0.01))
    assert not wider.resampled


def test_the_coarsest_level_that_is_fine_enough_is_read():
    info = info_of((8000, 6000), (0.25, 0.25), (1.0, 4.0, 16.0))
    levels = [tile(info, all_tissue(info), TileSpec(mpp=m)).level for m in (0.5, 1.0, 3.9, 4.1)]
    assert levels == [0, 1, 1, 2]


def test_pixels_that_are_not_square_give_square_tiles_in_microns():
    info = info_of((8000, 6000), (0.25, 0.5))
    grid = tile(info, all_tissue(info), TileSpec(px=100, mpp=1.0))
    assert grid.level0_px == (400.0, 200.0)
    assert grid.step == (400.0, 200.0)


def test_a_target_finer_than_the_slide_is_refused_unless_it_is_allowed():
    info = info_of((8000, 6000), (0.5, 0.5))
    with pytest.raises(SlideError, match=r"case\.svs: .*--allow-upsample"):
        tile(info, all_tissue(info), TileSpec(mpp=0.25))
    grid = tile(info, all_tissue(info), TileSpec(mpp=0.25, allow_upsample=True))
    assert grid.level0_px == (128.0, 128.0)


def test_tiles_are_row_major_and_none_comes_twice():
    info = info_of((2000, 1500))
    grid = tile(info, all_tissue(info), TileSpec())
    assert grid.index.tolist() == [[row, column] for row in range(6) for column in range(8)]
    assert grid.xy.tolist() == [
        [column * 256, row * 256] for row in range(6) for column in range(8)
    ]
    assert (grid.xy.dtype, grid.index.dtype, grid.tissue.dtype) == ("int32", "int32", "float32")


def test_the_lattice_starts_at_the_slides_bounds():
    plain = info_of((1000, 900), (0.2738, 0.2738))
    moved = info_of((4000, 4000), (0.2738, 0.2738), bounds=Bounds(301, 77, 1000, 900))
    spec = TileSpec(px=100, overlap=33)
    one, two = tile(plain, all_tissue(plain), spec), tile(moved, all_tissue(moved), spec)
    assert two.anchor == (301, 77)
    assert np.array_equal(two.index, one.index)
    assert np.array_equal(two.xy - two.anchor, one.xy)


def test_overlapping_tiles_step_by_what_they_do_not_share():
    info = info_of((1024, 512))
    grid = tile(info, all_tissue(info), TileSpec(px=256, overlap=64))
    assert grid.step == (192.0, 192.0)
    assert grid.xy[:6, 0].tolist() == [0, 192, 384, 576, 768, 960]
    assert grid.level0_px == (256.0, 256.0)


def test_an_edge_tile_counts_the_outside_as_background():
    info = info_of((384, 256))
    grid = tile(info, all_tissue(info), TileSpec(px=256))
    assert grid.tissue.tolist() == [1.0, 0.5]


def test_every_tile_with_any_tissue_is_kept_whatever_the_minimum():
    info = info_of((2560, 2560))
    mask = np.zeros((160, 160))
    mask[8, 8] = 1  # 16 × 16 level-0 pixels of 256 × 256
    for least in (0.01, 0.9):
        grid = tile(info, mask_on(info, mask), TileSpec(min_tissue=least))
        assert grid.index.tolist() == [[0, 0]]
        assert grid.tissue.tolist() == [1 / 256]


def test_a_slide_without_tissue_has_an_empty_grid():
    info = info_of((2000, 1500))
    grid = tile(info, mask_on(info, np.zeros((8, 8))), TileSpec())
    assert len(grid) == 0
    assert (grid.xy.shape, grid.index.shape, grid.tissue.shape) == ((0, 2), (0, 2), (0,))
    assert grid.xy.dtype == np.int32


@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=10)),
    st.tuples(st.integers(40, 900), st.integers(40, 900)),
    st.integers(8, 64),
    st.floats(0.5, 3.0),
    st.data(),
)
def test_every_tissue_pixel_lies_in_a_tile(mask, size, px, mpp, data):
    overlap = data.draw(st.integers(0, px // 2))
    info = info_of(size)
    tissue = mask_on(info, mask)
    grid = tile(info, tissue, TileSpec(px=px, mpp=mpp, overlap=overlap))
    row, column = np.nonzero(mask)
    centres = np.stack([(column + 0.5) * tissue.scale[0], (row + 0.5) * tissue.scale[1]], axis=1)
    inside = (centres[:, None] >= grid.xy - 1) & (centres[:, None] <= grid.xy + grid.level0_px + 1)
    assert inside.all(axis=-1).any(axis=-1).all()  # a pixel of slack: corners are rounded
    assert len(np.unique(grid.xy, axis=0)) == len(grid)


def test_measuring_in_bands_of_rows_changes_nothing(monkeypatch):
    info = info_of((9000, 7000), (0.265, 0.265))
    tissue = mask_on(info, np.random.default_rng(0).random((140, 180)) < 0.1)
    at_once = tile(info, tissue, TileSpec(px=64))
    monkeypatch.setattr("wsi_tools.tiling.BLOCK_TILES", 500)
    banded = tile(info, tissue, TileSpec(px=64))
    assert np.array_equal(banded.xy, at_once.xy)
    assert np.array_equal(banded.index, at_once.index)
    assert np.array_equal(banded.tissue, at_once.tissue)


def test_one_slide_in_another_container_has_the_same_tiles_within_its_bounds(test_data):
    def grid_of(name):
        with open_slide(test_data / name) as slide:
            whole = segment(slide, TissueOptions(method="none"))
            return tile(slide.info, whole, TileSpec(px=256, mpp=1.0))

    svs, scn = grid_of("vendors/cmu1.svs"), grid_of("vendors/cmu1.scn")
    assert np.array_equal(scn.index, svs.index)
    assert np.array_equal(scn.xy - scn.anchor, svs.xy)


def test_the_name_of_a_grid_says_what_was_asked_and_not_the_minimum():
    assert TileSpec().key == "mpp0.5-px256-ov0"
    assert TileSpec(px=224, mpp=1.0, overlap=112).key == "mpp1.0-px224-ov112"
    assert replace(TileSpec(), min_tissue=0.7).key == TileSpec().key


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"px": 0}, "--tile-size"),
        ({"mpp": 0.0}, "--mpp"),
        ({"mpp": float("nan")}, "--mpp"),
        ({"overlap": 256}, "--overlap"),
        ({"overlap": -1}, "--overlap"),
        ({"min_tissue": -0.1}, "--min-tissue"),
        ({"min_tissue": 1.1}, "--min-tissue"),
        ({"mpp_tolerance": -0.1}, "--mpp-tolerance"),
    ],
)
def test_impossible_tiles_are_refused_by_the_flag_that_asked(wrong, flag):
    with pytest.raises(InputError, match=f"^{flag} "):
        TileSpec(**wrong)


def test_tiles_that_would_start_within_one_pixel_are_refused():
    info = info_of((100, 100))
    spec = TileSpec(px=256, mpp=0.25, overlap=255, allow_upsample=True)
    with pytest.raises(InputError, match="lower --overlap"):
        tile(info, all_tissue(info), spec)
