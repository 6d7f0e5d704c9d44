"""What is done to the shape of a mask, in micrometres: gaps, holes, pieces too small to count."""

import cv2
import numpy as np
from numpy.typing import NDArray

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
    framed = np.pad(mask.astype(np.uint8), ((y, y), (x, x)))  # else OpenCV repeats the border
    closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, disk)
    return np.asarray(closed[y : y + mask.shape[0], x : x + mask.shape[1]] > 0)


def fill_small_holes(mask: Mask, area_um2: float, mpp: Pair) -> Mask:
    """Fill holes under `area_um2`; a gap open to the edge of the picture is no hole."""
    labels, left, top, width, height, area = _components(~mask)
    inside = (left > 0) & (top > 0)
    inside &= (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    small = inside & (area * (mpp[0] * mpp[1]) < area_um2)
    small[0] = False  # component 0 is the mask itself
    return mask | small[labels]


def drop_small_pieces(mask: Mask, area_um2: float, mpp: Pair) -> Mask:
    """Keep the pieces of at least `area_um2`; touching at a corner parts them, as in outlines."""
    labels, *_, area = _components(mask)
    large = area * (mpp[0] * mpp[1]) >= area_um2
    large[0] = False  # component 0 is what the mask leaves
    return np.asarray(large[labels])


def _components(mask: Mask) -> tuple[NDArray[np.int32], ...]:
    """Label what hangs together by sides; labels (h, w), then left, top, width, height, area."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    return (labels, *statistics.T)
