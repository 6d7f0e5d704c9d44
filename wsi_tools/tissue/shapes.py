"""What is done to the shape of a mask, in micrometres: gaps, holes, pieces too small to count."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.bands import band_by_band
from wsi_tools.tissue.runs import Runs

__all__ = ["close_gaps", "drop_small_pieces", "fill_small_holes"]

Mask = NDArray[np.bool_]
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
    closed = np.empty(mask.shape, bool)

    def close(rows: slice) -> None:
        reach = slice(max(rows.start - 2 * y, 0), rows.stop + 2 * y)  # of both steps
        # a frame, else OpenCV repeats the border
        framed = cv2.copyMakeBorder(mask[reach].view(np.uint8), y, y, x, x, cv2.BORDER_CONSTANT)
        whole = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, disk)
        first = y + rows.start - reach.start
        closed[rows] = whole[first : first + rows.stop - rows.start, x : x + mask.shape[1]]

    band_by_band(mask.shape, close, least=1 + 4 * y)  # no more beside a band than in it
    return closed


def fill_small_holes(tissue: Runs, area_um2: float, mpp: Pair) -> Runs:
    """Fill holes under `area_um2`; a gap open to the edge of the picture is no hole."""
    gaps = tissue.gaps
    small = gaps.piece_px * (mpp[0] * mpp[1]) < area_um2
    small[gaps.piece[gaps.at_an_edge]] = False
    return tissue.joined_across(gaps.only(small[gaps.piece]))


def drop_small_pieces(tissue: Runs, area_um2: float, mpp: Pair) -> Runs:
    """Keep the pieces of at least `area_um2`; touching at a corner parts them, as in outlines."""
    large = tissue.piece_px * (mpp[0] * mpp[1]) >= area_um2
    return tissue.only(large[tissue.piece])
