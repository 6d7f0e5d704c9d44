"""A picture for a person to judge the tissue by: the slide, with the outlines drawn on it."""

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.tissue.mask import TissueMask

__all__ = ["overlay"]

SHIFT = 4  # OpenCV draws in sixteenths of a pixel
PIECE = (0, 160, 60)
HOLE = (20, 90, 220)
ROI = (230, 120, 0)


def overlay(tissue: TissueMask) -> NDArray[np.uint8]:
    """Draw outlines green, holes blue and regions of interest orange; uint8 (h, w, 3)."""
    picture = tissue.thumbnail.copy()
    width = max(1, round(max(picture.shape) / 1000))
    for region in tissue.regions:
        for part in region.area.geoms:
            _draw(picture, [part.exterior, *part.interiors], tissue.scale, ROI, width)
    for piece in tissue.outlines.geoms:
        _draw(picture, [piece.exterior], tissue.scale, PIECE, width)
        _draw(picture, list(piece.interiors), tissue.scale, HOLE, width)
    return picture


def _draw(
    picture: NDArray[np.uint8],
    rings: list[shapely.LinearRing],
    scale: tuple[float, float],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    """Draw rings of level-0 pixels; OpenCV's whole numbers are pixel centres, ours are edges."""
    points = [(shapely.get_coordinates(ring) / scale - 0.5) * 2**SHIFT for ring in rings]
    lines = [np.rint(each).astype(np.int32) for each in points]
    cv2.polylines(picture, lines, True, colour, width, cv2.LINE_AA, SHIFT)
