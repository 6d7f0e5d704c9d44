import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from wsi_tools.tissue import Coverage

masks = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 1)
)


def overlap(low: float, high: float, start: float, stop: float) -> float:
    return max(0.0, min(high, stop) - max(low, start))


def fraction_by_hand(mask, scale, x, y):
    """Add up the part of every pixel that lies in the box, one by one."""
    area = sum(
        overlap(column * scale[0], (column + 1) * scale[0], *x)
        * overlap(row * scale[1], (row + 1) * scale[1], *y)
        for row, column in np.argwhere(mask)
    )
    return area / ((x[1] - x[0]) * (y[1] - y[0]))


@given(masks, st.tuples(st.floats(0.5, 40), st.floats(0.5, 40)), st.data())
def test_the_fraction_is_the_exact_area(mask, scale, data):
    starts = st.floats(-50, 350)
    x0, y0 = data.draw(starts), data.draw(starts)
    x, y = (x0, x0 + data.draw(st.floats(1, 100))), (y0, y0 + data.draw(st.floats(1, 100)))
    found = Coverage(mask, scale).fractions(np.array([x]), np.array([y]))
    assert found == pytest.approx(fraction_by_hand(mask, scale, x, y), abs=1e-9)


def test_the_fraction_equals_a_count_of_many_points():
    rng = np.random.default_rng(1)
    mask = (rng.random((20, 30)) < 0.4).astype(np.uint8)
    scale, side = (16.3, 15.8), 70.4
    x0 = np.array([0.0, 33.3, 451.7])
    y0 = np.array([12.5, 260.1])
    found = Coverage(mask, scale).fractions(
        np.stack([x0, x0 + side], 1), np.stack([y0, y0 + side], 1)
    )
    points = (np.arange(1000) + 0.5) / 1000 * side
    framed = np.pad(mask, ((0, 10), (0, 10)))
    for row, top in enumerate(y0):
        for column, left in enumerate(x0):
            y, x = (top + points) / scale[1], (left + points) / scale[0]
            counted = framed[np.ix_(y.astype(int), x.astype(int))].mean()
            assert found[row, column] == pytest.approx(counted, abs=2e-3)


def test_outside_the_mask_there_is_no_tissue():
    coverage = Coverage(np.ones((4, 4), np.uint8), (10.0, 10.0))
    x = np.array([[-10.0, 10.0], [0.0, 40.0], [30.0, 60.0], [80.0, 90.0]])
    y = np.array([[0.0, 40.0]])
    assert coverage.fractions(x, y).tolist() == [[0.5, 1.0, pytest.approx(1 / 3), 0.0]]
