"""What lies under the heat: the store's thumbnail, or the slide at a finer resolution."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.frame import Frame
from wsi_tools.slide import Slide
from wsi_tools.slide.geometry import best_level
from wsi_tools.slide.sampling import read_box
from wsi_tools.tissue import TissueMask
from wsi_tools.tissue.fluorescence import grey, nuclear_channel

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

    Of a multiplex slide the nuclear channel is shown, in grey.

    Returns:
        None where the slide has no level small enough to be read for a picture, or no channel that
        is known to be nuclear.

    Raises:
        SlideError: the pixels cannot be decoded.
    """
    level = best_level(slide.info.levels, (1.0, 1.0), min(frame.scale), allow_upsample=True).level
    down = slide.info.levels[level].downsample
    if frame.box[2] * frame.box[3] / down**2 > DEAREST_PX:
        return None
    if not slide.info.multiplex:
        return _read(slide, frame, level).astype(np.uint8, copy=False)
    channel = nuclear_channel(slide.info)
    if channel is None:
        return None
    with slide.only([channel]) as alone:
        return grey(_read(alone, frame, level)[..., 0].astype(np.float64))


def _read(slide: Slide, frame: Frame, level: int) -> NDArray[np.generic]:
    """The frame, block by block; (h, w, C) in the slide's own dtype."""
    width, height = frame.size_px
    step = max(1, int(BLOCK_PX * slide.info.levels[level].downsample / max(frame.scale)))
    rows = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    columns = [slice(left, min(left + step, width)) for left in range(0, width, step)]
    bands = [[_block(slide, frame, across, down, level) for across in columns] for down in rows]
    return np.concatenate([np.concatenate(band, axis=1) for band in bands])


def _block(
    slide: Slide, frame: Frame, columns: slice, rows: slice, level: int
) -> NDArray[np.generic]:
    (left, top, *_), (wide, high) = frame.box, frame.scale
    size = columns.stop - columns.start, rows.stop - rows.start
    box = (left + columns.start * wide, top + rows.start * high, size[0] * wide, size[1] * high)
    return read_box(slide, box, size, level)
