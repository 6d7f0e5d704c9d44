import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from wsi_tools.tissue import bands, shapes
from wsi_tools.tissue.runs import Runs
from wsi_tools.tissue.shapes import close_gaps

MPP = (8.0, 8.0)
PIXEL_UM2 = 64


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def blank() -> np.ndarray:
    return np.zeros((40, 40), bool)


def drop_small_pieces(mask, area_um2, mpp):
    return shapes.drop_small_pieces(Runs.of(mask), area_um2, mpp).mask


def fill_small_holes(mask, area_um2, mpp):
    return shapes.fill_small_holes(Runs.of(mask), area_um2, mpp).mask


def test_pieces_are_kept_from_their_area_in_square_micrometres():
    mask = blank()
    mask[2:7, 2:7] = True  # 25 pixels
    mask[20:30, 20:30] = True  # 100 pixels
    assert drop_small_pieces(mask, 25 * PIXEL_UM2, MPP).sum() == 125
    assert drop_small_pieces(mask, 25 * PIXEL_UM2 + 1, MPP).sum() == 100
    assert drop_small_pieces(mask, 25 * PIXEL_UM2, (4.0, 8.0)).sum() == 100


def test_pixels_that_touch_at_a_corner_are_two_pieces_as_in_the_outlines():
    mask = blank()
    mask[5, 5] = mask[6, 6] = True
    assert drop_small_pieces(mask, PIXEL_UM2, MPP).sum() == 2
    assert drop_small_pieces(mask, 2 * PIXEL_UM2, MPP).sum() == 0


def test_holes_are_filled_below_their_area_in_square_micrometres():
    mask = blank()
    mask[5:35, 5:35] = True
    mask[10:14, 10:14] = False  # 16 pixels
    assert fill_small_holes(mask, 16 * PIXEL_UM2, MPP).sum() == 900 - 16
    assert fill_small_holes(mask, 16 * PIXEL_UM2 + 1, MPP).sum() == 900


def test_a_gap_open_to_the_edge_is_no_hole():
    mask = ~blank()
    mask[0:2, 0:2] = False
    assert np.array_equal(fill_small_holes(mask, 1e6, MPP), mask)
    assert not fill_small_holes(np.zeros((1, 1), bool), 1e6, MPP).any()


def test_a_gap_closes_when_the_disk_cannot_enter_it():
    mask = blank()
    mask[5:35, 5:15] = mask[5:35, 19:35] = True  # four pixels apart, 32 µm
    assert not close_gaps(mask, 8, MPP)[20, 15:19].any()
    assert close_gaps(mask, 16, MPP)[20, 15:19].all()


def test_closing_in_bands_is_closing_at_once(monkeypatch):
    mask = np.random.default_rng(0).random((200, 150)) < 0.2
    at_once = close_gaps(mask, 24, MPP)
    monkeypatch.setattr(bands, "BAND_PX", 7 * 150)
    assert np.array_equal(close_gaps(mask, 24, MPP), at_once)


def test_closing_does_not_grow_tissue_towards_the_edge_of_the_picture():
    mask = blank()
    mask[10:30, 2:20] = True
    assert np.array_equal(close_gaps(mask, 24, MPP), mask)


def test_the_disk_is_round_in_micrometres_not_in_pixels():
    mask = blank()
    mask[:18], mask[22:] = True, True  # a gap of 4 rows
    assert close_gaps(mask, 16, (8.0, 4.0))[20].all()  # 16 µm high
    assert not close_gaps(mask, 16, (8.0, 16.0))[20].any()  # 64 µm high


@given(masks, st.integers(0, 12))
def test_pieces_are_those_that_opencv_counts(mask, least_px):
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    large = statistics[:, cv2.CC_STAT_AREA] >= least_px
    expected = mask & large[labels]
    assert np.array_equal(drop_small_pieces(mask, least_px, (1.0, 1.0)), expected)


@given(masks, st.integers(0, 12))
def test_holes_are_those_that_opencv_counts(mask, least_px):
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        (~mask).view(np.uint8), connectivity=4
    )
    left, top, width, height, area = statistics.T
    inside = (left > 0) & (left + width < mask.shape[1])
    inside &= (top > 0) & (top + height < mask.shape[0])
    expected = mask | ((inside & (area < least_px))[labels] & ~mask)
    assert np.array_equal(fill_small_holes(mask, least_px, (1.0, 1.0)), expected)
