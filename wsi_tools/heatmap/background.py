"""What lies under the heat: the store's thumbnail, or the slide at a finer resolution."""

from itertools import product
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.frame import Frame
from wsi_tools.slide import Slide
from wsi_tools.slide.geometry import best_level
from wsi_tools.slide.sampling import read_box
from wsi_tools.tissue import TissueMask

__all__ = ["from_slide", "from_thumbnail"]

Picture = NDArray[np.uint8]

BLOCK_PX = 2048  # side of a block in pixels of the level read
DEAREST_PX = 60_000_000  # pixels of a level worth reading for a picture; then the thumbnail does


def from_thumbnail(tissue: TissueMask, frame: Frame) -> Picture:
    """The frame as the store's thumbnail shows it; uint8 (h, w, 3)."""
    (x, y, width, height), scale = frame.box, tissue.scale
    left, top = round(x / scale[0]), round(y / scale[1])  # frames are of whole thumbnail pixels
    right, bottom = round((x + width) / scale[0]), round((y + height) / scale[1])
    part = tissue.thumbnail[top:bottom, left:right]
    shrinks = part.shape[1] > frame.size_px[0]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: Picture = cv2.resize(part, frame.size_px, interpolation=way)
    return resized


def from_slide(slide: Slide, frame: Frame) -> Picture | None:
    """The frame from the slide's own pixels; uint8 (h, w, 3).

    Returns:
        None where the slide has no level small enough to be read for a picture.

    Raises:
        SlideError: the pixels cannot be decoded.
    """
    level = best_level(slide.info.levels, (1.0, 1.0), min(frame.scale), allow_upsample=True).level
    down = slide.info.levels[level].downsample
    if frame.box[2] * frame.box[3] / down**2 > DEAREST_PX:
        return None
    width, height = frame.size_px
    picture = np.empty((height, width, 3), np.uint8)
    step = max(1, int(BLOCK_PX * down / max(frame.scale)))
    for row, column in product(range(ceil(height / step)), range(ceil(width / step))):
        rows = slice(row * step, min((row + 1) * step, height))
        columns = slice(column * step, min((column + 1) * step, width))
        picture[rows, columns] = _block(slide, frame, columns, rows, level)
    return picture


def _block(slide: Slide, frame: Frame, columns: slice, rows: slice, level: int) -> Picture:
    (left, top, *_), (wide, high) = frame.box, frame.scale
    size = columns.stop - columns.start, rows.stop - rows.start
    box = (left + columns.start * wide, top + rows.start * high, size[0] * wide, size[1] * high)
    return read_box(slide, box, size, level)
