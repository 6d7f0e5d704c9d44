"""A closer look: where a glance at a picture suspects ink, every pixel is judged by its colour.

JPEG keeps colour at half resolution. A rim or a thin stroke of ink has therefore the luminance of
ink and some of the colour of what is beside it, which together may be the colour of stained tissue;
at a level twice as fine it is ink again, so that is read there. Wherever ink is, some of it shows
at once; elsewhere stray pixels of another colour than the stain's are tissue as those around them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.options import StainColour
from wsi_tools.tissue.picture import Block, Picture, each_block, read_block
from wsi_tools.tissue.runs import Runs
from wsi_tools.tissue.stain import Absorbance, glass_colour, judged

if TYPE_CHECKING:
    from wsi_tools.slide import Slide

__all__ = ["look_closer"]

Mask = NDArray[np.bool_]

BLOCK_PX = 32  # side of what is looked at closely
WIDEST_PX = 1024  # of neighbours looked at together: what is read for them is several times as wide
GLANCE = 2  # one pixel of so many along each axis is asked whether there may be ink
# In a block and those around it, of which a whole stroke of ink is foreign, of tissue 1 in 300:
SUSPECT_SHARE = 1 / 64  # of what is opaque
SUSPECT_PX = 16  # a stroke one pixel wide has more, a speck of dust fewer


def look_closer(slide: "Slide", picture: Picture, stain: StainColour) -> Mask:
    """Find ink, dust and edges: what has not the stain's colour.

    Args:
        slide: an open slide.
        picture: of it, in colour; where there may be ink, a finer level is written over it.
        stain: the colours that tissue can have.

    Returns:
        bool (h, w), True where it is foreign.
    """
    glass = glass_colour(picture.pixels)
    foreign = np.zeros(picture.pixels.shape[:2], bool)

    def look(handle: "Slide", block: Block) -> None:
        if picture.finer is not None:
            picture.pixels[block] = read_block(handle, block, picture.scale, picture.finer)
        _, foreign[block] = judged(Absorbance(picture.pixels[block], glass), stain)

    each_block(slide, list(_suspects(Absorbance(picture.pixels, glass), stain)), look)
    return foreign


def _suspects(absorbance: Absorbance, stain: StainColour) -> Iterator[Block]:
    """Blocks that may hold ink, those beside one another as one."""
    height, width = absorbance.picture.shape[:2]
    runs = Runs.of(_may_hold_ink(*judged(absorbance.glanced_at(GLANCE), stain)))
    first = runs.row * runs.shape[1]
    spans = np.stack([runs.row, runs.row + 1, runs.start - first, runs.end - first], axis=1)
    for top, bottom, left, right in (spans * BLOCK_PX).tolist():
        rows, end = slice(top, min(bottom, height)), min(right, width)
        for start in range(left, end, WIDEST_PX):
            yield rows, slice(start, min(start + WIDEST_PX, end))


def _may_hold_ink(opaque: Mask, foreign: Mask) -> Mask:
    """Judge every block by it and the eight around it; (rows, columns) of blocks."""
    among, found = _around(opaque), _around(foreign)
    return (found > SUSPECT_SHARE * among) & (found * GLANCE**2 >= SUSPECT_PX)


def _around(mask: Mask) -> NDArray[np.float32]:
    """Count the pixels of each block and of those around it; (rows, columns) of blocks."""
    side_px = BLOCK_PX // GLANCE
    rows, columns = (np.arange(0, side, side_px) for side in mask.shape)
    high = [mask[top : top + side_px].sum(axis=0, dtype=np.uint8) for top in rows]
    counts = np.add.reduceat(np.stack(high), columns, axis=1, dtype=np.float32)
    summed: NDArray[np.float32] = cv2.boxFilter(
        counts, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return summed
