"""What is done to the shape of a mask, in micrometres: gaps, holes, pieces too small to count."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["close_gaps", "drop_small_pieces", "fill_small_holes", "row_runs"]

Mask = NDArray[np.bool_]
Ints = NDArray[np.intp]
Pair = tuple[float, float]


def close_gaps(mask: Mask, radius_um: float, mpp: Pair) -> Mask:
    """Close the gaps that a disk of this radius cannot enter; outside the picture is a gap too.

    Args:
        mask: bool (h, w).
        radius_um: radius of the disk; nothing is done where it is under half a pixel.
        mpp: (x, y) micrometres per pixel of the mask.
    """
    x, y = (round(radius_um / each) for each in mpp)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * x + 1, 2 * y + 1))
    framed = np.pad(mask.view(np.uint8), ((y, y), (x, x)))  # else OpenCV repeats the border
    closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, disk)
    return np.ascontiguousarray(closed[y : y + mask.shape[0], x : x + mask.shape[1]]).view(bool)


def fill_small_holes(mask: Mask, area_um2: float, mpp: Pair) -> Mask:
    """Fill holes under `area_um2`; a gap open to the edge of the picture is no hole."""
    gaps = _Pieces.of(~mask)
    small = gaps.area_px * (mpp[0] * mpp[1]) < area_um2
    small[gaps.piece[gaps.at_an_edge]] = False
    return gaps.painted(mask, small, tissue=True)


def drop_small_pieces(mask: Mask, area_um2: float, mpp: Pair) -> Mask:
    """Keep the pieces of at least `area_um2`; touching at a corner parts them, as in outlines."""
    pieces = _Pieces.of(mask)
    small = pieces.area_px * (mpp[0] * mpp[1]) < area_um2
    return pieces.painted(mask, small, tissue=False)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """What hangs together by sides, as runs of pixels in rows: far fewer than the pixels.

    Attributes:
        start: of each run, as an index into the flat mask.
        length: of each run.
        piece: which piece each run belongs to, from 1.
        shape: (h, w) of the mask.
    """

    start: Ints
    length: Ints
    piece: Ints
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Mask) -> "_Pieces":
        """Find the pieces of a mask."""
        _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
        start, end = row_runs(mask)
        return cls(start, end - start, labels.ravel()[start], mask.shape)

    @property
    def area_px(self) -> NDArray[np.float64]:
        """Pixels of each piece; nothing has the number 0."""
        return np.bincount(self.piece, self.length, 1).astype(float)

    @property
    def at_an_edge(self) -> Mask:
        """Which runs touch an edge of the picture."""
        height, width = self.shape
        row, left = np.divmod(self.start, width)
        outer = (row == 0) | (row == height - 1)
        return np.asarray(outer | (left == 0) | (left + self.length == width))

    def painted(self, mask: Mask, chosen: Mask, *, tissue: bool) -> Mask:
        """A copy of a mask, with the chosen pieces made tissue or not."""
        runs = chosen[self.piece]
        start, length = self.start[runs], self.length[runs]
        before = np.cumsum(length) - length  # pixels in the runs before
        result = mask.copy()
        result.ravel()[np.repeat(start - before, length) + np.arange(length.sum())] = tissue
        return result


def row_runs(mask: Mask) -> tuple[Ints, Ints]:
    """Every run of True in a row: where it starts and one past where it ends, in the flat mask."""
    height, width = mask.shape
    framed = np.zeros((height, width + 1), bool)  # so that no run goes on in the next row
    framed[:, :width] = mask
    flat = framed.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        ends = np.concatenate([[0], ends])
    start, end = ends[::2], ends[1::2]
    row = start // (width + 1)
    return start - row, end - row
