"""Percentiles, ramps, and the tiles at both ends."""

import cv2
import numpy as np
import pytest

from wsi_tools.errors import InputError
from wsi_tools.heatmap import COLOURS, extremes, percentiles, scaled
from wsi_tools.heatmap.scale import DIFFERENCE, coloured, ramp
from wsi_tools.heatmap.what_if import contrast

NAN = np.nan


def test_a_percentile_counts_tiles_with_less_and_half_of_those_with_as_much():
    values = np.array([4, 1, NAN, 2, 2], np.float32)
    np.testing.assert_array_equal(percentiles(values), np.float32([87.5, 12.5, NAN, 50, 50]))


def test_a_slide_whose_tiles_are_alike_is_in_the_middle_throughout():
    np.testing.assert_array_equal(percentiles(np.ones(5, np.float32)), np.full(5, 50))


def test_percentiles_depend_on_the_order_alone():
    values = np.random.default_rng(0).random(100).astype(np.float32)
    np.testing.assert_array_equal(percentiles(values), percentiles(np.exp(9 * values)))


def test_raw_scores_span_the_ramp():
    values = np.array([0.2, 0.6, NAN], np.float32)
    found = coloured(values, scaled(values, "raw"), "viridis")
    np.testing.assert_array_equal(found, [ramp("viridis")[0], ramp("viridis")[255], (0, 0, 0)])


def test_another_scaling_is_refused_by_name():
    with pytest.raises(InputError, match="--scaling log: choose from percentile, raw"):
        scaled(np.ones(1, np.float32), "log")


@pytest.mark.parametrize("name", COLOURS)
def test_a_ramp_is_lighter_all_the_way(name):
    lightness = cv2.cvtColor(ramp(name)[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert np.diff(lightness).min() >= -1  # one of 255: the table is of whole numbers
    assert np.abs(np.diff(lightness, 2)).max() <= 4  # and evenly so


def test_no_change_is_the_palest_colour_between_two():
    lightness = cv2.cvtColor(ramp(DIFFERENCE)[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert lightness.argmax() in (127, 128)
    scale = contrast(np.array([-0.1, 0.4, NAN], np.float32))
    assert (scale.lowest, scale.highest) == pytest.approx((-0.4, 0.4))


def test_the_highest_and_the_lowest_tiles_are_ordered_and_none_is_both():
    found = extremes(np.array([3, NAN, 1, 5, 4], np.float32), 3)
    assert (found.top.tolist(), found.bottom.tolist()) == ([3, 4, 0], [2])


def test_of_equal_tiles_the_first_come_first():
    found = extremes(np.ones(6, np.float32), 2)
    assert (found.top.tolist(), found.bottom.tolist()) == ([0, 1], [2, 3])
