import json
from dataclasses import replace

import numpy as np
import pytest
import shapely

from wsi_tools.errors import SlideError
from wsi_tools.slide import open_slide
from wsi_tools.tissue import PRESETS, TissueOptions, fluorescence, overlay, segment
from wsi_tools.tissue.fluorescence import any_marker, grey, nuclear, nuclear_channel
from wsi_tools.tissue.picture import read_picture

MIF = replace(PRESETS["mif"], seg_mpp=4.0, close_um=0.0)  # every pixel as it is drawn
BARE = TissueOptions()


@pytest.fixture
def core() -> dict[str, np.ndarray]:
    """Nuclei in a square of 60 × 60 with a hole of 20 × 20, and a marker to the right of it."""
    planes = {name: np.ones((100, 120), np.uint16) for name in ("CD8", "DAPI", "PDL1")}
    planes["DAPI"][20:80, 30:90] = 900
    planes["DAPI"][40:60, 50:70] = 1
    planes["PDL1"][:, 100:] = 40
    return planes


@pytest.mark.parametrize(
    ("names", "wanted", "place"),
    [
        (("CD8", "DAPI"), (), 1),
        (("DAPI_02", "CD8", "DAPI_01"), (), 2),
        (("CD8", "PDL1"), (), None),
        (("CD8", "Blue"), ("Nuclei", "blue"), 1),
        (("DAPI", "Blue"), ("Blue",), 1),
        (("DAPI", "CD8"), ("Blue",), None),
    ],
)
def test_the_nuclear_channel_is_found_by_name(channels_of, names, wanted, place):
    slide = channels_of({name: np.zeros((4, 4), np.uint8) for name in names})
    assert nuclear_channel(slide.info, wanted) == place


def test_the_nuclear_threshold_parts_the_roots_of_bright_and_dim():
    plane = np.array([[1.0, 1.0, 36.0, 100.0, 100.0]], np.float32)  # roots 1, 1, 6, 10, 10
    found = nuclear(plane[..., None], BARE)
    assert found.mask.tolist() == [[False, False, True, True, True]]
    assert 1.0 <= found.measured["threshold"] < 36.0


def test_the_gain_of_the_camera_does_not_change_the_mask():
    picture = np.random.default_rng(0).gamma(0.5, 100.0, (40, 50, 1)).astype(np.float32)
    for find in (nuclear, any_marker):
        mask = find(picture, BARE).mask
        assert 0.01 < mask.mean() < 0.9
        assert np.array_equal(find(picture * 16, BARE).mask, mask)


def test_any_marker_is_enough_and_zeros_do_not_move_its_threshold():
    first = np.array([[0.0, 1.0, 1.0, 9.0, 1.0]], np.float32)
    second = np.array([[5.0, 5.0, 50.0, 5.0, 5.0]], np.float32)
    picture = np.stack([first, second], axis=-1)
    found = any_marker(picture, replace(BARE, hard_background=False))
    assert found.mask.tolist() == [[False, False, True, True, False]]
    without_zero = any_marker(picture[:, 1:], replace(BARE, hard_background=False))
    assert found.measured["thresholds"] == without_zero.measured["thresholds"]
    assert found.measured["hard_background"] == 0.2


def test_what_is_exactly_zero_in_any_marker_is_hard_background():
    picture = np.array([[[0.0, 90.0], [1.0, 90.0], [8.0, 1.0], [1.0, 1.0]]], np.float32)
    assert any_marker(picture, BARE).mask.tolist() == [[False, True, True, False]]
    soft = any_marker(picture, replace(BARE, hard_background=False))
    assert soft.mask.tolist() == [[True, True, True, False]]


def test_the_order_of_the_channels_does_not_change_the_mask():
    picture = np.random.default_rng(0).gamma(0.5, 100.0, (40, 50, 4)).astype(np.float32)
    mask = any_marker(picture, BARE).mask
    assert np.array_equal(any_marker(picture[..., [2, 0, 3, 1]], BARE).mask, mask)


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_channels_of_one_value_hold_no_tissue(level):
    picture = np.full((5, 6, 2), level, np.float32)
    assert not any_marker(picture, BARE).mask.any()
    assert not nuclear(picture[..., :1], BARE).mask.any()


def test_values_that_are_no_numbers_count_as_none():
    picture = np.array([[[0.0], [0.0], [90.0], [np.nan], [np.inf], [-5.0]]], np.float32)
    expected = [[False, False, True, False, False, False]]
    assert nuclear(picture, BARE).mask.tolist() == expected
    assert any_marker(picture, BARE).mask.tolist() == expected
    assert grey(picture[..., 0])[0, :, 0].tolist()[3:] == [0, 0, 0]


def test_a_person_is_shown_the_plane_in_grey():
    plane = np.array([[0.0, 50.0, 100.0, 100.0]], np.float32)
    assert grey(plane)[..., 0].tolist() == [[0, 128, 255, 255]]
    assert grey(np.zeros((2, 2), np.float32)).max() == 0


def test_a_picture_of_channels_is_their_mean_without_rounding(channels_of):
    planes = np.random.default_rng(0).integers(0, 65536, (3, 64, 96), dtype=np.uint16)
    slide = channels_of(dict(zip("abc", planes, strict=True)), mpp=1.0)
    mean = planes.reshape(3, 8, 8, 12, 8).mean(axis=(2, 4), dtype=np.float64)
    picture = read_picture(slide, 8.0)
    assert picture.pixels.dtype == np.float32
    assert np.array_equal(picture.pixels, np.moveaxis(mean, 0, -1).astype(np.float32))


def test_many_channels_are_read_in_smaller_blocks(channels_of, monkeypatch):
    planes = np.random.default_rng(0).integers(0, 256, (12, 200, 300), dtype=np.uint8)
    slide = channels_of({f"m{place}": plane for place, plane in enumerate(planes)}, mpp=1.0)
    at_once = read_picture(slide, 4.0).pixels
    monkeypatch.setattr("wsi_tools.tissue.picture.BLOCK_PX", 64)
    assert np.array_equal(read_picture(slide, 4.0).pixels, at_once)


def test_auto_takes_the_nuclei(channels_of, core):
    tissue = segment(channels_of(core), MIF)
    assert tissue.method == "nuclear"
    assert tissue.outlines.area == 60 * 60 - 20 * 20
    assert tissue.mask.sum() == 60 * 60 - 20 * 20
    (piece,) = tissue.outlines.geoms
    assert shapely.Polygon(piece.interiors[0]).equals(shapely.box(50, 40, 70, 60))
    assert tissue.thumbnail.dtype == np.uint8
    assert tissue.thumbnail[30, 40].tolist() == [255, 255, 255]


def test_auto_takes_any_marker_where_no_nuclei_are_known(channels_of, core):
    core["blue"] = core.pop("DAPI")
    tissue = segment(channels_of(core), MIF)
    assert tissue.method == "any-marker"
    assert tissue.mask.sum() == 60 * 60 - 20 * 20 + 100 * 20
    named = segment(channels_of(core), replace(MIF, nuclear=("Blue",)))
    assert named.method == "nuclear"
    assert named.parameters["nuclear"] == ("Blue",)


def test_channels_in_another_order_have_the_same_tissue(channels_of, core):
    turned = dict(reversed(core.items()))
    for method in ("nuclear", "any-marker"):
        options = replace(MIF, method=method)
        here = segment(channels_of(core), options)
        there = segment(channels_of(turned, name="turned"), options)
        assert np.array_equal(here.mask, there.mask)
        assert np.array_equal(here.thumbnail, there.thumbnail)


def test_a_faint_slide_has_the_tissue_of_a_bright_one(channels_of, core):
    faint = {name: plane.astype(np.float32) / 64 for name, plane in core.items()}
    tissue = segment(channels_of(faint), MIF)
    assert np.array_equal(tissue.mask, segment(channels_of(core, name="bright"), MIF).mask)


def test_method_none_takes_a_multiplex_slide_whole(channels_of, core):
    assert segment(channels_of(core), replace(MIF, method="none")).mask.all()


def test_a_dark_slide_has_no_tissue(channels_of):
    dark = {name: np.zeros((64, 64), np.uint8) for name in ("DAPI", "CD8")}
    for method in ("nuclear", "any-marker"):
        tissue = segment(channels_of(dark), replace(MIF, method=method))
        assert tissue.outlines.is_empty
        assert not overlay(tissue).any()


@pytest.mark.parametrize("method", ["otsu", "hsv", "entropy"])
def test_methods_of_colour_refuse_a_multiplex_slide(channels_of, core, method):
    with pytest.raises(
        SlideError,
        match=rf"case\.ome\.tiff: is a multiplex slide of 3 channels, which --method {method} "
        r"cannot judge; take auto, nuclear, any-marker, none",
    ):
        segment(channels_of(core), replace(MIF, method=method))


@pytest.mark.parametrize("method", ["nuclear", "any-marker"])
def test_methods_of_channels_refuse_a_slide_in_colour(slide_of, section, method):
    with pytest.raises(SlideError, match=r"case\.png: is in colour, .*; take auto, otsu, hsv"):
        segment(slide_of(section), TissueOptions(method=method))


def test_nuclei_that_are_not_there_are_not_looked_for_in_vain(channels_of, core):
    del core["DAPI"]
    with pytest.raises(SlideError, match=r"no channel is known .* among CD8, PDL1; .*any-marker"):
        segment(channels_of(core), replace(MIF, method="nuclear"))


def test_only_the_nuclear_channel_is_decoded(channels_of, core, monkeypatch):
    slide = channels_of(core)
    shown = []
    only = slide.only
    monkeypatch.setattr(slide, "only", lambda places: shown.append(places) or only(places))
    monkeypatch.setattr(slide, "read", None)
    segment(slide, MIF)
    assert shown == [[1]]


def test_every_number_that_made_the_mask_is_kept(channels_of, core):
    kept = json.loads(json.dumps(segment(channels_of(core), MIF).parameters))
    assert kept["stain"] is None
    assert kept["hard_background"] is True
    assert 1.0 <= kept["measured"]["threshold"] < 900.0


def test_the_core_of_a_tissue_array_is_found_whole(test_data):
    with open_slide(test_data / "mif/small_vectra.qptiff") as slide:
        tissue = segment(slide, PRESETS["mif"])
    (piece,) = tissue.outlines.geoms
    assert tissue.method == "nuclear"
    assert piece.contains(shapely.Point(650, 700).buffer(500))
    assert piece.bounds == pytest.approx((0, 0, 1330, 1400), abs=60)
    assert not piece.interiors


@pytest.mark.parametrize("method", ["nuclear", "any-marker"])
def test_a_field_of_500_pixels_has_tissue(test_data, method):
    with open_slide(test_data / "mif/csm_B09.ome.tiff", mpp_override=0.5) as slide:
        tissue = segment(slide, replace(PRESETS["mif"], method=method))
    assert tissue.mask.shape == (31, 31)
    assert tissue.outlines.area == pytest.approx(tissue.mask.sum() * (500 / 31) ** 2)
    assert tissue.mask.mean() > 0.5


def test_the_brightest_channel_is_shown_where_no_nuclei_are_known(channels_of, core):
    core["blue"] = core.pop("DAPI")
    slide = channels_of(core)
    assert fluorescence.brightest(read_picture(slide, 4.0).pixels) == 2
    expected = grey(core["blue"].astype(np.float32))
    assert np.array_equal(segment(slide, MIF).thumbnail, expected)
