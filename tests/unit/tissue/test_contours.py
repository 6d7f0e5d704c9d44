import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from wsi_tools.tissue.contours import only_polygons, outlines, rasterised
from wsi_tools.tissue.runs import Runs

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))
scales = st.tuples(st.floats(0.5, 64), st.floats(0.5, 64))


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[pixel == "X" for pixel in row] for row in rows])


@given(masks, scales)
def test_a_mask_drawn_from_its_outlines_is_the_mask(mask, scale):
    assert np.array_equal(rasterised(outlines(Runs.of(mask), scale), mask.shape, scale), mask)


@given(masks, scales)
def test_outlines_are_valid_and_hold_the_area_of_the_pixels(mask, scale):
    area = outlines(Runs.of(mask), scale)
    assert area.is_valid
    assert area.area == pytest.approx(mask.sum() * scale[0] * scale[1])


@given(masks)
def test_a_piece_is_what_hangs_together_by_sides(mask):
    squares = [shapely.box(x, y, x + 1, y + 1) for y, x in np.argwhere(mask)]
    joined = shapely.get_parts(shapely.union_all(squares))
    expected = shapely.normalize(shapely.MultiPolygon(list(joined)))
    found = shapely.normalize(outlines(Runs.of(mask), (1.0, 1.0)))
    assert len(found.geoms) == len(expected.geoms)
    assert shapely.get_num_interior_rings(found.geoms).tolist() == (
        shapely.get_num_interior_rings(expected.geoms).tolist()
    )
    assert found.equals(expected)


def test_outlines_run_along_pixel_edges_in_level_0_pixels():
    area = outlines(Runs.of(mask_of("....", ".XX.", "....")), (10.0, 20.0))
    assert area.equals(shapely.box(10, 20, 30, 40))


def test_a_hole_stays_a_hole():
    area = outlines(Runs.of(mask_of("XXX", "X.X", "XXX")), (1.0, 1.0))
    (piece,) = area.geoms
    (hole,) = piece.interiors
    assert shapely.Polygon(hole).equals(shapely.box(1, 1, 2, 2))


def test_an_island_in_a_hole_is_a_piece_of_its_own():
    area = outlines(Runs.of(mask_of("XXXXX", "X...X", "X.X.X", "X...X", "XXXXX")), (1.0, 1.0))
    assert sorted(piece.area for piece in area.geoms) == [1, 16]


def test_pixels_that_touch_at_a_corner_are_two_pieces():
    assert len(outlines(Runs.of(mask_of("X.", ".X")), (1.0, 1.0)).geoms) == 2


def test_a_hole_that_touches_the_outside_at_a_corner_stays_valid():
    area = outlines(Runs.of(mask_of("XXX", "X.X", "XX.")), (1.0, 1.0))
    assert area.is_valid
    assert area.area == 7


def test_no_tissue_has_no_outline():
    assert outlines(Runs.of(np.zeros((3, 3), bool)), (1.0, 1.0)).is_empty


def test_a_pixel_counts_where_its_centre_is_inside():
    triangle = shapely.MultiPolygon([shapely.Polygon([(0, 0), (4, 0), (0, 4)])])
    expected = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert rasterised(triangle, (4, 4), (1.0, 1.0)).tolist() == expected


def test_what_lies_outside_the_mask_is_not_drawn():
    wide = shapely.MultiPolygon([shapely.box(-5, -5, 1, 50), shapely.box(2, 1, 90, 2)])
    assert rasterised(wide, (2, 3), (1.0, 1.0)).tolist() == [[1, 0, 0], [1, 0, 1]]


tenths = st.integers(-50, 250).map(lambda value: value / 10)


@given(st.lists(st.tuples(tenths, tenths), min_size=3, max_size=8))
def test_drawing_agrees_with_asking_for_every_centre(corners):
    area = only_polygons([shapely.convex_hull(shapely.MultiPoint(corners))])
    x, y = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    distance = shapely.distance(area.boundary, shapely.points(x, y))
    clear = ~(distance < 1e-9)  # a centre on the outline itself may go either way
    expected = shapely.contains_xy(area, x, y)
    assert np.array_equal(rasterised(area, (20, 20), (1.0, 1.0))[clear], expected[clear])


def test_points_and_lines_that_set_operations_leave_are_dropped():
    left, right = shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)
    assert only_polygons([left & right]).is_empty
    mixed = shapely.GeometryCollection([left, shapely.Point(5, 5)])
    assert only_polygons([mixed]).equals(left)
