import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_tools.channels import (
    ChannelTransform,
    Marker,
    Normalization,
    Panel,
    fitted,
    implicit_panel,
    without_background,
)
from wsi_tools.errors import DataError, InputError

NAMES = ("DAPI", "CD8", "AF")
RULES = ("dtype", "arcsinh:5", "none", "percentile:1,99", "zscore", "fixed")
PANEL = Panel(
    (
        Marker("CD8", background="AF", background_scale=0.5, high=100.0),
        Marker("DAPI", high=200.0, low=50.0),
        Marker("AF", role="background"),
    ),
    "p",
)


def transform_of(info, rule: str, panel: Panel = PANEL, missing="error") -> ChannelTransform:
    """A transform whose statistics, if it needs any, are those of `TISSUE`."""
    found, normalization = panel.matched(info, missing), Normalization.parse(rule)
    if not normalization.is_fitted:
        return ChannelTransform(found, normalization)
    values = np.stack([np.arange(101.0) + 10 * place for place in range(len(found.names))], axis=1)
    return ChannelTransform(found, normalization, fitted(normalization, found.names, values, "s"))


def pixels_of(**values: int) -> np.ndarray:
    """One pixel, uint8 (1, 1, 1, C), in the order of `NAMES`."""
    return np.array([values[name] for name in NAMES], np.uint8).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("rule", "cd8", "dapi"),
    [
        ("none", 60 - 0.5 * 20, 125),
        ("dtype", 50 / 255, 125 / 255),
        ("fixed", 50 / 100, (125 - 50) / 150),
        ("arcsinh:5", np.arcsinh(50 / 5) / np.arcsinh(255 / 5), np.arcsinh(25) / np.arcsinh(51)),
        ("percentile:1,99", (50 - 1) / 98, 1.0),
        ("zscore", 0.0, (125 - 60) / np.sqrt((101**2 - 1) / 12)),
    ],
)
def test_every_rule_gives_the_numbers_of_its_formula(slide_with, rule, cd8, dapi):
    planes = transform_of(slide_with(*NAMES), rule)(pixels_of(DAPI=125, CD8=60, AF=20))
    assert planes.dtype == np.float32
    assert planes.ravel() == pytest.approx([cd8, dapi], abs=1e-6)


def test_the_type_says_what_white_is(slide_with):
    pixels = np.array([0, 32768, 65535], np.uint16).reshape(1, 1, 1, 3)
    panel = Panel(tuple(Marker(name) for name in NAMES), "p")
    planes = transform_of(slide_with(*NAMES, dtype="uint16"), "dtype", panel)(pixels)
    assert planes.ravel().tolist() == [0.0, np.float32(32768 / 65535), 1.0]


def test_a_background_brighter_than_the_marker_leaves_zero_and_never_wraps(slide_with):
    for dtype in ("uint8", "uint16", "float32"):
        info = slide_with(*NAMES, dtype=dtype)
        pixels = np.array([5, 3, 200], dtype).reshape(1, 1, 1, 3)
        assert without_background(pixels, PANEL.matched(info)).ravel().tolist() == [0.0, 5.0]


def test_the_background_is_subtracted_before_the_scale_is_applied(slide_with):
    panel = Panel((Marker("CD8", background="AF", high=10.0), Marker("AF", role="background")), "p")
    planes = transform_of(slide_with(*NAMES), "fixed", panel)(
        np.array([30, 25], np.uint8).reshape(1, 1, 1, 2)
    )
    assert planes.item() == 0.5  # clipping 30 / 10 first would give 0


def test_the_planes_are_those_of_the_panel_and_the_pixels_stay_in_place(slide_with):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    panel = Panel((Marker("CD8"), Marker("AF"), Marker("DAPI")), "p")
    planes = transform_of(slide_with(*NAMES), "none", panel)(pixels)  # (B, M, h, w)
    assert np.array_equal(planes, np.moveaxis(pixels[..., [1, 2, 0]], -1, 1))


@pytest.mark.parametrize("rule", RULES)
def test_channels_in_another_order_and_by_other_names_give_the_same_planes(slide_with, rule):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    turned = slide_with("af", "CD8a", "dapi")
    aliased = Panel(
        tuple(
            Marker(
                each.name,
                (f"{each.name}a",),
                each.role,
                None,
                each.background,
                0.5,
                each.low,
                each.high,
            )
            for each in PANEL.markers
        ),
        "p",
    )
    here = transform_of(slide_with(*NAMES), rule)(pixels)
    there = transform_of(turned, rule, aliased)(pixels[..., [2, 1, 0]])
    assert np.array_equal(here, there)


@pytest.mark.parametrize("rule", RULES)
def test_a_marker_at_a_quarter_changes_its_own_plane_and_no_other(slide_with, rule):
    pixels = np.random.default_rng(0).integers(100, 256, (1, 8, 8, 3), dtype=np.uint8)
    dimmed = pixels.copy()
    dimmed[..., 0] //= 4  # DAPI
    transform = transform_of(slide_with(*NAMES), rule)
    changed = (transform(pixels) != transform(dimmed)).any(axis=(0, 2, 3))
    assert changed.tolist() == [False, True]


def test_a_background_at_a_quarter_changes_the_planes_it_is_subtracted_from(slide_with):
    pixels = np.random.default_rng(0).integers(100, 256, (1, 8, 8, 3), dtype=np.uint8)
    dimmed = pixels.copy()
    dimmed[..., 2] //= 4  # AF
    transform = transform_of(slide_with(*NAMES), "dtype")
    changed = (transform(pixels) != transform(dimmed)).any(axis=(0, 2, 3))
    assert changed.tolist() == [True, False]


@pytest.mark.parametrize("rule", RULES)
def test_a_tile_has_the_same_planes_alone_and_beside_a_brighter_one(slide_with, rule):
    tile = np.random.default_rng(0).integers(0, 25, (1, 8, 8, 3), dtype=np.uint8)
    transform = transform_of(slide_with(*NAMES), rule)
    together = transform(np.concatenate([tile, tile * 10]))
    assert np.array_equal(together[:1], transform(tile))


@given(
    pixels=arrays(np.uint16, (2, 3, 3, 3)),
    rule=st.sampled_from(["dtype", "arcsinh:5", "percentile:1,99", "fixed"]),
)
def test_bounded_rules_stay_between_0_and_1(slide_with, pixels, rule):
    planes = transform_of(slide_with(*NAMES, dtype="uint16"), rule)(pixels)
    assert planes.min() >= 0
    assert planes.max() <= 1


@pytest.mark.parametrize("rule", ["percentile:1,99", "zscore"])
def test_a_marker_that_was_constant_on_tissue_is_zero_and_no_nan(slide_with, rule):
    normalization = Normalization.parse(rule)
    found = PANEL.matched(slide_with(*NAMES))
    statistics = fitted(normalization, found.names, np.full((9, 2), 7.0), "s")
    planes = ChannelTransform(found, normalization, statistics)(pixels_of(DAPI=7, CD8=9, AF=0))
    assert planes.ravel().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rule", RULES)
def test_a_missing_marker_is_a_plane_of_zeros(slide_with, rule):
    info = slide_with("CD8", "AF")
    transform = transform_of(info, rule, missing="zero")
    planes = transform(np.full((1, 2, 2, 2), 200, np.uint8))
    assert planes[:, 1].tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert planes[:, 0].all()


def test_floating_point_channels_need_a_range_or_statistics(slide_with):
    info = slide_with("CD8", dtype="float32")
    bare, ranged = Panel((Marker("CD8"),), "p"), Panel((Marker("CD8", low=-1.0, high=3.0),), "p")
    for rule in ("dtype", "arcsinh:5"):
        with pytest.raises(DataError, match=r"CD8 is float32, .*; give min and max in the panel"):
            transform_of(info, rule, bare)
    pixels = np.array([[[[-2.0]], [[-1.0]], [[1.0]], [[9.0]]]], np.float32)
    assert transform_of(info, "dtype", ranged)(pixels).ravel().tolist() == [0.0, 0.0, 0.5, 1.0]
    assert transform_of(info, "none", bare)(pixels).ravel().tolist() == [-2.0, -1.0, 1.0, 9.0]


def test_where_a_float_file_has_no_number_it_has_zero(slide_with):
    info, less = slide_with("CD8", "AF", dtype="float32"), Marker("AF", role="background")
    panel = Panel((Marker("CD8", background="AF", low=0.0, high=10.0), less), "p")
    pixels = np.array([[np.nan, 1], [np.inf, 1], [5, np.nan], [5, 1]], np.float32)[None, None]
    planes = transform_of(info, "dtype", panel)(pixels)
    np.testing.assert_array_equal(planes.ravel(), np.float32([0, 0, 0.5, 0.4]))
    values = without_background(pixels, panel.matched(info))
    assert values.ravel().tolist() == [0, 0, 5, 4]
    assert np.isnan(pixels).sum() == 2


def test_fixed_ranges_are_needed_for_every_marker(slide_with):
    with pytest.raises(DataError, match="DAPI has no max in the panel, which --normalize fixed"):
        transform_of(slide_with(*NAMES), "fixed", Panel((Marker("DAPI"),), "p"))


def test_statistics_must_be_of_the_rule_and_the_markers(slide_with):
    found = PANEL.matched(slide_with(*NAMES))
    zscore, percentile = Normalization.parse("zscore"), Normalization.parse("percentile:1,99")
    statistics = fitted(zscore, ("CD8",), np.ones((2, 1)), "s")
    with pytest.raises(InputError, match="--normalize zscore needs statistics; fit them first"):
        ChannelTransform(found, zscore)
    with pytest.raises(InputError, match="fitted for --normalize zscore, and percentile:1,99"):
        ChannelTransform(found, percentile, statistics)
    with pytest.raises(InputError, match="the statistics know no DAPI"):
        ChannelTransform(found, zscore, statistics)


def test_statistics_of_a_cohort_in_another_order_fit_by_name(slide_with):
    zscore = Normalization.parse("zscore")
    statistics = fitted(zscore, ("DAPI", "CD8"), np.array([[0.0, 10.0], [2.0, 30.0]]), "s")
    info = slide_with("CD8", "DAPI")
    planes = ChannelTransform(implicit_panel(info).matched(info), zscore, statistics)(
        np.array([30, 2], np.uint8).reshape(1, 1, 1, 2)
    )
    assert planes.ravel().tolist() == [1.0, 1.0]
