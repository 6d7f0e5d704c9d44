"""Which markers of a slide are looked at, on which scale, and what their features are called."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from wsi_tools.channels import Marker, Normalization, Panel
from wsi_tools.errors import DataError, InputError
from wsi_tools.preparation import Markers
from wsi_tools.preparation.extremes import Extremes
from wsi_tools.preparation.measuring import tissue_values
from wsi_tools.preparation.views import MarkerView
from wsi_tools.slide import open_slide
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import PRESETS, segment

NAMES = ("CD8", "DAPI", "AF")
PANEL = Panel((Marker("DAPI"), Marker("CD8", high=4000.0), Marker("AF")), "study")


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """128 × 96 px at 1 µm: CD8 is 7 on the left half and 1000 elsewhere, DAPI 50, AF 2."""
    planes = np.full((3, 96, 128), 1000, np.uint16)
    planes[0, :, :64], planes[1], planes[2] = 7, 50, 2
    path = tmp_path_factory.mktemp("slide") / "a.ome.tiff"
    metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
    with open_slide(path, mpp_override=1.0) as opened:
        yield opened


def view(slide, **asked):
    return MarkerView(slide, Markers(**asked), lambda: pytest.fail("nothing is to be measured"))


def test_features_are_called_by_the_panel_and_the_way(slide):
    assert view(slide, panel=PANEL).key("uni") == "uni@study"
    assert view(slide, panel=PANEL, channels_as="mean").key("uni") == "uni@study.mean"
    colours = view(slide, panel=PANEL, channels_as="rgb:AF,CD8,DAPI")
    assert colours.key("timm:resnet18") == "timm=resnet18@study.rgb"
    assert colours.matched.names == ("AF", "CD8", "DAPI")


def test_an_implicit_panel_is_named_after_the_markers_that_are_left(slide):
    whole, less = view(slide), view(slide, background=("AF", None))
    assert whole.matched.names == ("AF", "CD8", "DAPI")
    assert less.matched.names == ("CD8", "DAPI")
    assert less.panel.name == Panel((Marker("CD8"), Marker("DAPI"))).name != whole.panel.name


@pytest.mark.parametrize(
    "asked",
    [
        {"background": ("CD9", None)},
        {"channels_as": "rgb:CD8,DAPI,CD9"},
        {"background": ("CD9", None), "recipe": "fluoroformer"},
    ],
)
def test_a_marker_that_is_nowhere_is_the_commands_mistake_or_without_a_panel_the_slides(
    slide, asked
):
    with pytest.raises(InputError, match=r"^'CD9' is no marker of the panel"):
        view(slide, panel=PANEL, **asked)
    with pytest.raises(DataError, match=r"^a\.ome\.tiff: 'CD9' is no .*; no --panel was given"):
        view(slide, **asked)


def test_colours_keep_the_background_that_they_need(slide):
    less = PANEL.with_background("AF", 2.0)
    colours = view(slide, panel=less, channels_as="rgb:CD8,DAPI,AF")
    assert colours.matched.names == ("CD8", "DAPI", "AF")
    assert [each.background for each in colours.matched.markers] == [2, 2, None]


def test_the_scale_is_fixed_where_the_panel_has_every_range(slide):
    whole = replace(PANEL, markers=(Marker("DAPI", high=9.0), Marker("CD8", high=4000.0)))
    assert str(Markers().rule(whole)) == "fixed"
    assert str(Markers().rule(PANEL)) == "dtype"
    assert str(Markers(normalization=Normalization("zscore")).rule(whole)) == "zscore"


def test_the_papers_background_is_the_last_marker_and_is_looked_at_too(slide):
    seen = view(slide, panel=PANEL, recipe="fluoroformer")
    assert seen.matched.names == ("DAPI", "CD8", "AF")
    assert [each.background for each in seen.matched.markers] == [2, 2, None]
    assert seen.warnings() == (
        "AF, the last, is taken for the background; say which with --background",
    )
    assert view(slide, recipe="fluoroformer", background=("CD8", None)).warnings() == ()


@pytest.mark.parametrize("way", ["concat", "rgb:A,B,C"])
def test_where_slides_would_differ_in_width_no_marker_is_dropped(way):
    with pytest.raises(InputError, match="take --missing-marker zero"):
        Markers(channels_as=way, missing="drop")


def test_values_are_measured_on_tissue_alone_with_backgrounds_subtracted(slide):
    whole = segment(slide, replace(PRESETS["mif"], method="none", seg_mpp=1.0))
    left = replace(whole, mask=whole.mask * (np.arange(128) < 64).astype(np.uint8))
    grid = tile(slide.info, whole, TileSpec(px=40, mpp=1.0))
    matched = PANEL.with_background("AF", 2.0).matched(slide.info)
    values = tissue_values(slide, grid, left, matched)
    assert values.shape == (96 * 64, 2)
    np.testing.assert_array_equal(np.unique(values, axis=0), [[46, 3]])


def test_a_slide_without_tiles_has_no_values(slide):
    whole = segment(slide, replace(PRESETS["mif"], method="none"))
    grid = tile(slide.info, replace(whole, mask=whole.mask * 0), TileSpec(px=40, mpp=1.0))
    assert tissue_values(slide, grid, whole, PANEL.matched(slide.info)).shape == (0, 3)


def test_channels_that_say_nothing_are_named():
    extremes = Extremes(("CD8", "DAPI", "AF", "CK"))
    assert extremes.warnings() == ()
    pixels = np.zeros((2, 10, 10, 4), np.uint16)
    pixels[0, :, :, 1], pixels[1, :2, :2, 2], pixels[..., 3] = 9, 65_535, np.arange(10)
    extremes.note(pixels[:1])
    extremes.note(pixels[1:])
    assert extremes.warnings() == (
        "CD8 is empty: 0 in every tile",
        "DAPI is constant: 9 wherever it is not 0",
        "AF is constant: 65535 wherever it is not 0",
    )
    extremes.note(pixels[1:] // 2)
    assert extremes.warnings()[2] == "AF is saturated: 1% of its pixels have the largest value"


def test_a_channel_with_gaps_in_its_numbers_is_not_called_empty():
    extremes = Extremes(("CD8", "AF"))
    extremes.note(np.array([[np.nan, np.nan], [3, np.inf], [7, 0]], np.float32)[None, None])
    assert extremes.warnings() == ("AF is empty: 0 in every tile",)
