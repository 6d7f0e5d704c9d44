"""A plane as a pyramid on disk: bands of tiles, each a dask array, streamed level after level.

Memory holds one band of one level, whatever the slide's height. A level is halved from the one
above it: the mean of 2 × 2 pixels, whole numbers rounded to floor(x + 0.5). An odd last row or
column is left out, so a pixel of level k covers 2ᵏ × 2ᵏ pixels of level 0 exactly.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from wsi_tools.splitting.plane import Block

__all__ = ["TILE_PX", "band", "level_sizes", "streamed", "tile_rows"]

TILE_PX = 512  # side of a chunk or tile; even, so that no pixel is halved across two

Size = tuple[int, int]


def level_sizes(size: Size) -> tuple[Size, ...]:
    """(width, height) of every level, halved until one tile holds it all."""
    sizes = [size]
    while max(sizes[-1]) > TILE_PX and min(sizes[-1]) > 1:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return tuple(sizes)


def streamed(block: Block, levels: Sequence[Any], dtype: str, pool: Executor) -> Iterator[int]:
    """Fill arrays (height, width), level 0 first; yield how many rows each band had.

    Args:
        block: gives the pixels of level 0.
        levels: arrays that take and give slices, such as Zarr's, of the sizes of `level_sizes`.
        dtype: of every level.
        pool: its threads compute the tiles of a band.
    """
    halves: list[Block] = [partial(halved, partial(_cut, above)) for above in levels[:-1]]
    for source, level in zip([block, *halves], levels, strict=True):
        height, width = level.shape
        for top, end in tile_rows(height):
            pixels = band(source, (top, end), width, dtype)
            with dask.config.set(scheduler="threads", pool=pool):
                da.store(pixels, level, regions=(slice(top, end), slice(0, width)), lock=False)
            yield end - top


def tile_rows(height: int) -> Iterator[Size]:
    """Yield (top, end) of each row of tiles."""
    yield from pairwise([*range(0, height, TILE_PX), height])


def band(source: Block, rows: Size, width: int, dtype: str) -> da.Array:
    """One row of tiles as a lazy array: (height, width), a chunk per tile."""
    columns = tuple(end - left for left, end in tile_rows(width))
    height = rows[1] - rows[0]
    array: da.Array = da.map_blocks(  # type: ignore[no-untyped-call] # dask types little
        partial(_tile, source, rows[0]),
        chunks=((height,), columns),
        dtype=dtype,
        meta=np.empty((0, 0), dtype),
    )
    return array


def halved(above: Block, x: int, y: int, width: int, height: int) -> NDArray[Any]:
    """Pixels of a level from the one above it."""
    pixels = above(2 * x, 2 * y, 2 * width, 2 * height)
    if pixels.dtype.kind == "f":
        mean: NDArray[Any] = pixels.reshape(height, 2, width, 2).mean(axis=(1, 3))
        return mean.astype(pixels.dtype)
    rows = pixels[0::2].astype(np.uint32) + pixels[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) // 4).astype(pixels.dtype)


def _cut(level: Any, x: int, y: int, width: int, height: int) -> NDArray[Any]:
    return np.asarray(level[y : y + height, x : x + width])


def _tile(source: Block, top: int, block_info: Any = None) -> NDArray[Any]:
    (first, last), (left, right) = block_info[None]["array-location"]
    return source(left, top + first, right - left, last - first)
