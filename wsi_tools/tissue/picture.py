"""A whole slide as one small picture of a given resolution, read block by block."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.execution import available_cores
from wsi_tools.slide.geometry import best_level
from wsi_tools.slide.sampling import read_box
from wsi_tools.tissue.bands import MOST_THREADS, in_threads

if TYPE_CHECKING:
    from wsi_tools.slide import Slide, SlideInfo

__all__ = ["Block", "Picture", "each_block", "read_block", "read_picture"]

Block = tuple[slice, slice]
"""Rows and columns of a picture."""

THREAD_BLOCKS = 4  # fewer are read sooner than a thread begins, or opens the slide again
BLOCK_PX = 1024  # side of a block of three channels in pixels of the level read: 3 MB of bytes
LARGEST_VALUES = (
    300_000_000  # a 100k × 80k slide at 8 µm/px has 24 million; 300 MB, 1.2 GB of floats
)


@dataclass(frozen=True)
class Picture:
    """A slide at low resolution.

    Attributes:
        pixels: covering all of level 0, whatever its bounds: uint8 (h, w, 3), or of a multiplex
            slide float32 (h, w, C), means that are not rounded.
        scale: (x, y) level-0 pixels per pixel, not rounded.
        mpp: (x, y) micrometres per pixel.
        level: the level that was read.
        finer: the coarsest level with at least twice the resolution, where that is another one;
            None too where only level 0 is that fine, for a slide is not read in full.
    """

    pixels: NDArray[Any]
    scale: tuple[float, float]
    mpp: tuple[float, float]
    level: int
    finer: int | None = None


def read_picture(slide: "Slide", mpp: float, *, fine: bool = False) -> Picture:
    """Read the whole slide at `mpp` µm per pixel, or at its own where that is coarser.

    The coarsest level that is fine enough is averaged over the exact area of each pixel. Both sides
    are a whole number of pixels, so the resolution is within half a pixel in a side of `mpp`.

    Args:
        slide: an open slide.
        mpp: micrometres per pixel.
        fine: take the level that would be `Picture.finer`, where there is one.

    Raises:
        SlideError: no resolution is known, the picture would be too large, or reading failed.
    """
    info = slide.info
    level, finer = _levels(info, mpp)
    if fine and finer is not None:
        level, finer = finer, None
    width, height = _size(info, mpp)
    scale = (info.size[0] / width, info.size[1] / height)
    pixels = _pixels(slide, (width, height), level)
    return Picture(pixels, scale, (info.mpp[0] * scale[0], info.mpp[1] * scale[1]), level, finer)


def _pixels(slide: "Slide", size: tuple[int, int], level: int) -> NDArray[Any]:
    """Read all of a slide as a picture of this (width, height), block by block."""
    info = slide.info
    scale = (info.size[0] / size[0], info.size[1] / size[1])
    shape = (size[1], size[0], len(info.channels))
    pixels = np.empty(shape, np.float32 if info.multiplex else np.uint8)
    side = _block(scale, info.levels[level].downsample, len(info.channels))
    blocks = [(y, x) for y in _spans(size[1], side[1]) for x in _spans(size[0], side[0])]

    def read(handle: "Slide", block: Block) -> None:
        source = cast("Slide", _Unrounded(handle)) if info.multiplex else handle
        pixels[block] = read_block(source, block, scale, level)

    each_block(slide, blocks, read)
    return pixels


def each_block(
    slide: "Slide", blocks: Sequence[Block], work: "Callable[[Slide, Block], None]"
) -> None:
    """Do something with each block and a handle on the slide; several threads are at work."""

    def share(mine: "tuple[Slide, Sequence[Block]]") -> None:
        for block in mine[1]:
            work(mine[0], block)

    with ExitStack() as opened:
        threads = max(1, min(MOST_THREADS, available_cores(), len(blocks) // THREAD_BLOCKS))
        again = [opened.enter_context(slide.reopen()) for _ in range(threads - 1)]
        in_threads(list(zip([slide, *again], _shares(blocks, threads), strict=True)), share)


def _shares(blocks: Sequence[Block], count: int) -> Iterator[Sequence[Block]]:
    """Neighbours to one thread, which decodes what they share once."""
    edges = [len(blocks) * part // count for part in range(count + 1)]
    return (blocks[start:stop] for start, stop in pairwise(edges))


class _Unrounded:
    """A multiplex slide in float32, whose means `read_box` does not round: 0 is 0 alone."""

    def __init__(self, slide: "Slide") -> None:
        self.info = slide.info
        self._slide = slide

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.float32]:
        """Read a rectangle of one level."""
        return self._slide.read(x, y, width, height, level).astype(np.float32)


def _levels(info: "SlideInfo", mpp: float) -> tuple[int, int | None]:
    """Choose the coarsest level as fine as `mpp`, and `Picture.finer`."""
    once, twice = (
        best_level(info.levels, info.mpp, each, allow_upsample=True).level
        for each in (mpp, mpp / 2)
    )
    return once, twice if 0 < twice < once else None


def _size(info: "SlideInfo", mpp: float) -> tuple[int, int]:
    width, height = (
        max(1, round(min(px, px * own / mpp))) for px, own in zip(info.size, info.mpp, strict=True)
    )
    if prod((width, height, len(info.channels))) > LARGEST_VALUES:
        raise SlideError(
            f"{info.path.name}: at {mpp:g} µm/px the slide is {width} × {height} pixels, too many "
            f"to find tissue in; choose a coarser --seg-mpp, such as {mpp * 8:g}"
        )
    return width, height


def _block(scale: tuple[float, float], downsample: float, channels: int) -> tuple[int, int]:
    """Sides of a block in pixels of the picture; many channels make it smaller."""
    side_px = BLOCK_PX * (3 / max(channels, 3)) ** 0.5
    width, height = (max(1, int(side_px * downsample / each)) for each in scale)
    return width, height


def _spans(length: int, most: int) -> Iterator[slice]:
    """Part a length evenly, so that threads have as much to do as one another."""
    count = ceil(length / most)
    edges = [length * part // count for part in range(count + 1)]
    return (slice(start, stop) for start, stop in pairwise(edges))


def read_block(
    slide: "Slide", block: Block, scale: tuple[float, float], level: int
) -> NDArray[Any]:
    """Read a block of a picture of this scale from one level: (h, w, channels) of the block."""
    rows, columns = block
    width, height = columns.stop - columns.start, rows.stop - rows.start
    box = (columns.start * scale[0], rows.start * scale[1], width * scale[0], height * scale[1])
    return read_box(slide, box, (width, height), level)
