"""A closer look: where a picture may show ink, it is read again from a finer level.

JPEG keeps colour at half resolution. A rim or a thin stroke of ink has therefore the luminance of
ink and some of the colour of what is beside it, which together may be the colour of stained tissue;
at a level twice as fine it is ink again. Wherever ink is, there is also some that shows at once.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.options import StainColour
from wsi_tools.tissue.picture import Block, Picture, each_block, read_block
from wsi_tools.tissue.runs import Runs
from wsi_tools.tissue.stain import Absorbance, judged

if TYPE_CHECKING:
    from wsi_tools.slide import Slide

__all__ = ["look_closer"]

Mask = NDArray[np.bool_]

BLOCK_PX = 32  # side of what is read again
# In a block and those around it, of which a whole stroke of ink is foreign, of tissue 1 in 300:
SUSPECT_SHARE = 1 / 100  # of what is opaque
SUSPECT_PX = 16  # a stroke one pixel wide has more, a speck of dust fewer


def look_closer(slide: "Slide", picture: Picture, stain: StainColour) -> tuple[Picture, Mask]:
    """Find what has not the stain's colour; where it may be ink, look at the finer level.

    Args:
        slide: an open slide.
        picture: of it, in colour.
        stain: the colours that tissue can have.

    Returns:
        The picture as it was looked at in the end, and bool (h, w): what is foreign in it.
    """
    absorbance = Absorbance.of(picture.pixels)
    opaque, foreign = judged(absorbance, stain)
    blocks = [] if picture.finer is None else list(_suspects(opaque, foreign))
    if not blocks:
        return picture, foreign
    pixels = picture.pixels.copy()

    def look(handle: "Slide", block: Block) -> None:
        pixels[block] = read_block(handle, block, picture.scale, picture.finer or 0)
        _, foreign[block] = judged(Absorbance(pixels[block], absorbance.glass), stain)

    each_block(slide, blocks, look)
    return replace(picture, pixels=pixels), foreign


def _suspects(opaque: Mask, foreign: Mask) -> Iterator[Block]:
    """Blocks that may hold ink, those beside one another as one."""
    among, found = _around(opaque), _around(foreign)
    runs = Runs.of((found > SUSPECT_SHARE * among) & (found >= SUSPECT_PX))
    height, width = foreign.shape
    first = runs.row * runs.shape[1]
    spans = np.stack([runs.row, runs.row + 1, runs.start - first, runs.end - first], axis=1)
    for top, bottom, left, right in (spans * BLOCK_PX).tolist():
        yield slice(top, min(bottom, height)), slice(left, min(right, width))


def _around(mask: Mask) -> NDArray[np.float32]:
    """Count the pixels of each block and of the eight around it; (rows, columns) of blocks."""
    rows, columns = (np.arange(0, side, BLOCK_PX) for side in mask.shape)
    high = [mask[top : top + BLOCK_PX].sum(axis=0, dtype=np.uint8) for top in rows]
    counts = np.add.reduceat(np.stack(high), columns, axis=1, dtype=np.float32)
    summed: NDArray[np.float32] = cv2.boxFilter(
        counts, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return summed
