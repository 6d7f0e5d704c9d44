"""The field against a slow path, overlaps by hand, and what has no number."""

import numpy as np
import pytest

from wsi_tools.heatmap import Frame, heat_field
from wsi_tools.tiling import TileGrid, TileSpec


def grid_of(xy, side, spec=None):
    """Tiles of `side` level-0 pixels at these corners."""
    xy = np.asarray(xy, np.int32)
    return TileGrid(
        spec=spec or TileSpec(),
        xy=xy,
        index=xy[:, ::-1],
        tissue=np.ones(len(xy), np.float32),
        level=0,
        read_px=(side, side),
        mpp=(0.5, 0.5),
        resampled=False,
        level0_px=(side, side),
        step=(side, side),
        anchor=(0, 0),
    )


def slowly(grid, values, frame):
    """Pixel by pixel, tile by tile: the mean weighted by shared area."""
    width, height = frame.size_px
    (left, top, *_), (wide, high) = frame.box, frame.scale
    found = np.full((height, width), np.nan)
    for y, x in np.ndindex(height, width):
        x0, y0 = left + x * wide, top + y * high
        areas = [
            max(0, min(x0 + wide, tx + grid.level0_px[0]) - max(x0, tx))
            * max(0, min(y0 + high, ty + grid.level0_px[1]) - max(y0, ty))
            for tx, ty in grid.xy.tolist()
        ]
        known = [(area, value) for area, value in zip(areas, values, strict=True) if value == value]
        total = sum(area for area, _ in known)
        if total > 1e-6 * wide * high:
            found[y, x] = sum(area * value for area, value in known) / total
    return found


@pytest.mark.parametrize("side", [40.0, 37.5, 61.3])
def test_the_field_is_the_mean_of_the_tiles_by_shared_area(side):
    rng = np.random.default_rng(3)
    step = 40  # some sides leave gaps of less than a pixel, others overlap
    cells = rng.permutation(48)[:30]
    grid = grid_of(np.stack((17 + cells % 8 * step, 5 + cells // 8 * step), axis=1), side)
    values = rng.random(30)
    values[[3, 11]] = np.nan
    frame = Frame((10.0, 0.0, 330.0, 270.0), (29, 31), (0.5, 0.5))
    expected, found = slowly(grid, values, frame), heat_field(grid, values, frame)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, equal_nan=True)


def test_where_two_tiles_overlap_is_their_mean():
    grid = grid_of([(0, 0), (50, 0)], 100.0)
    field = heat_field(grid, np.array([1.0, 3.0]), Frame((0, 0, 150, 100), (3, 2), (1, 1)))
    np.testing.assert_array_equal(field.values, [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(field.cover, np.ones((2, 3)))


def test_a_tile_without_a_number_leaves_its_place_empty():
    grid = grid_of([(0, 0), (100, 0)], 100.0)
    field = heat_field(grid, np.array([np.nan, 3.0]), Frame((0, 0, 200, 100), (2, 1), (1, 1)))
    np.testing.assert_array_equal(field.values, [[np.nan, 3.0]])
    np.testing.assert_array_equal(field.cover, [[0, 1]])


def test_a_tile_that_covers_part_of_a_pixel_is_its_value_there_and_its_share_is_kept():
    grid = grid_of([(0, 0)], 25.0)
    field = heat_field(grid, np.array([7.0]), Frame((0, 0, 100, 100), (2, 2), (1, 1)))
    np.testing.assert_array_equal(field.values, [[7, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(field.cover, [[0.25, 0], [0, 0]])


def test_the_gap_that_rounding_corners_leaves_is_closed():
    """Tiles every 10.4 px begin at 0, 10, 21: the second ends at 20.4."""
    grid = grid_of([(0, 0), (10, 0), (21, 0)], 10.4)
    field = heat_field(grid, np.array([1.0, 2.0, 3.0]), Frame((0, 0, 31, 10), (31, 10), (1, 1)))
    assert (field.cover == 1).all()
