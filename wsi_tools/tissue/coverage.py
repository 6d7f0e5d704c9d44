"""How much of a rectangle is tissue: the exact area, at the price of four look-ups."""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Coverage"]

Floats = NDArray[np.float64]
Pair = tuple[float, float]


class Coverage:
    """The summed-area table of a mask (F. Crow, SIGGRAPH 1984), read between its entries.

    A mask pixel is all tissue or none, so the table is bilinear inside a pixel and interpolating it
    gives the exact area up to any point, with no sampling.
    """

    def __init__(self, mask: NDArray[np.uint8], scale: Pair) -> None:
        """Sum up a mask, uint8 (h, w) of 0 and 1; `scale` is level-0 pixels per pixel (x, y)."""
        self._sums: NDArray[np.int32] = cv2.integral(mask)  # (h + 1, w + 1)
        self._scale = scale

    def fractions(self, x_spans: Floats, y_spans: Floats) -> Floats:
        """Measure every box of a lattice; what lies outside the mask is background.

        Args:
            x_spans: (columns, 2) left and right edges, level-0 pixels.
            y_spans: (rows, 2) top and bottom edges, level-0 pixels.

        Returns:
            (rows, columns), the part of each box that is tissue.
        """
        x, y = x_spans / self._scale[0], y_spans / self._scale[1]
        to_edges = _between(_between(self._sums, y.ravel()).T, x.ravel()).T
        corners = to_edges.reshape(len(y), 2, len(x), 2)
        tissue = np.diff(np.diff(corners, axis=1), axis=3)[:, 0, :, 0]  # (rows, columns)
        return np.asarray(tissue / np.outer(np.diff(y), np.diff(x)))


def _between(table: NDArray[np.int32] | Floats, positions: Floats) -> Floats:
    """Interpolate linearly along the first axis; positions beyond its ends give the ends."""
    last = len(table) - 1
    inside = np.clip(positions, 0, last)
    below = np.minimum(inside.astype(int), last - 1)
    part = (inside - below)[:, None]
    between: Floats = table[below] * (1 - part) + table[below + 1] * part
    return between
