"""Rows of reading: tiles of 256 px in raster order, through this package and through others."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import log10
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import imagecodecs
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from openslide import OpenSlide
from PIL import Image

from speed.row import Bench, Fact, Measured, Row
from speed.timing import Contender, alternate
from wsi_tools.embedding.tiles import TileReader
from wsi_tools.preparation.downsampling import shrink_of
from wsi_tools.slide import Slide, open_slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.tiling import TileGrid, TileSpec, tile
from wsi_tools.tissue import segment

__all__ = ["ROWS", "openslide_tiles", "some_tiles"]

Pixels = NDArray[Any]
Corners = Sequence[tuple[int, int]]

Wanted = TypeVar("Wanted", contravariant=True)


class Reading(Protocol[Wanted]):
    """Tiles of a slide, read as they are asked for; what is opened goes on the stack."""

    def __call__(self, path: Path, wanted: Wanted, stack: ExitStack, /) -> Iterable[Pixels]: ...


SOLID = 0.9  # least tissue of a tile that is read: glass decodes in a fraction of the time
BATCH = 32
LEAST_PSNR = 40.0  # dB; Pillow's bicubic resize of real tissue comes to 37


def some_tiles(path: Path, spec: TileSpec, count: int) -> TileGrid:
    """Tiles full of tissue, as many if there are, row by row from the middle of the slide."""
    with open_slide(path) as slide:
        grid = tile(slide.info, segment(slide), spec)
    row, full = grid.index[:, 0], grid.tissue >= min(SOLID, grid.tissue.max())
    kept = np.flatnonzero(full)
    middle = int(np.searchsorted(row[kept], np.median(row[kept])))
    start = max(0, min(middle, len(kept) - count))
    kept = kept[start : start + count]
    return replace(grid, xy=grid.xy[kept], index=grid.index[kept], tissue=grid.tissue[kept])


def _ours(path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Pixels]:
    slide, size = stack.enter_context(open_slide(path)), (grid.spec.px, grid.spec.px)
    return (read_box(slide, grid.box(row), size, grid.level) for row in range(len(grid)))


def openslide_tiles(path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Image.Image]:
    """The same tiles in OpenSlide, before any resize, as other programs read them."""
    slide, side = stack.enter_context(OpenSlide(path)), round(grid.level0_px[0])
    corners = grid.xy.tolist()
    return (slide.read_region((x, y), 0, (side, side)).convert("RGB") for x, y in corners)


def _plainly(path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Pixels]:
    return map(np.asarray, openslide_tiles(path, grid, stack))


def _resized(path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Pixels]:
    """Pillow's resize at its default, bicubic: what CLAM and TRIDENT do."""
    size = (grid.spec.px, grid.spec.px)
    return (np.asarray(tile.resize(size)) for tile in openslide_tiles(path, grid, stack))


def _in_threads(threads: int, path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Pixels]:
    slide = stack.enter_context(open_slide(path))
    reader = stack.enter_context(TileReader(slide, grid, threads=threads))
    batches = np.array_split(np.arange(len(grid)), -(-len(grid) // BATCH))
    return (pixels for batch in reader.batches(batches) for pixels in batch.pixels)


def _draining(reading: Reading[Wanted], path: Path, wanted: Wanted) -> Contender:
    """Every tile, one after the other; opening the slide is not timed."""

    def contender(stack: ExitStack) -> Callable[[], object]:
        tiles = reading(path, wanted, stack)
        return lambda: deque(tiles, maxlen=0)

    return contender


def _all_equal(
    ours: Reading[Wanted], beside: Reading[Wanted], path: Path, wanted: Wanted, name: str
) -> Fact:
    with ExitStack() as stack:
        pairs = zip(ours(path, wanted, stack), beside(path, wanted, stack), strict=True)
        return Fact(name, all(np.array_equal(*pair) for pair in pairs))


def _compare(bench: Bench, ours: Contender, beside: Contender, *facts: Fact, of: str) -> Measured:
    cv2.setNumThreads(1)
    pairs = alternate(ours, beside, size=bench.size)
    return Measured(pairs, facts, of)


def _native(bench: Bench) -> tuple[Path, TileGrid]:
    path = bench.slides.scan(bench.size.fine)
    spec = TileSpec(px=256, mpp=bench.size.fine.mpp)
    return path, some_tiles(path, spec, bench.size.read_tiles)


def read(bench: Bench) -> Measured:
    """Tiles as stored, one thread, beside OpenSlide."""
    path, grid = _native(bench)
    equal = _all_equal(_ours, _plainly, path, grid, "same bytes")
    ours, beside = _draining(_ours, path, grid), _draining(_plainly, path, grid)
    return _compare(bench, ours, beside, equal, of=f"{len(grid):,} tiles of 256 px")


def read_beside_decoding(bench: Bench) -> Measured:
    """The same, beside nothing but decoding each JPEG tile that they touch, once."""
    path, grid = _native(bench)
    tiles, (name, decode) = _jpeg_tiles(path, grid), _decoder()
    with open_slide(path) as slide:
        equal = all(
            np.array_equal(slide.read(*corner, *_sides(slide), 0), decode(stream))
            for corner, stream in tiles.items()
        )

    def decoding(stack: ExitStack) -> Callable[[], object]:
        return lambda: deque(map(decode, tiles.values()), maxlen=0)

    ours, fact = _draining(_ours, path, grid), Fact("decoded tiles are the slide's", equal)
    found = _compare(bench, ours, decoding, fact, of=f"{len(grid):,} tiles of 256 px")
    return replace(found, detail=f"{len(tiles):,} JPEG tiles from memory by {name}")


def _sides(slide: Slide) -> tuple[int, int]:
    assert slide.info.layout.tile_px is not None
    return slide.info.layout.tile_px


def _jpeg_tiles(path: Path, grid: TileGrid) -> dict[tuple[int, int], bytes]:
    """The compressed tiles of level 0 that the grid touches, by corner, in raster order."""
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        side, across = page.tilewidth, page.chunked[1]
        first, last = grid.xy // side, (grid.xy + grid.spec.px - 1) // side  # (N, 2)
        touched = {
            (row, column)
            for start, end in zip(first.tolist(), last.tolist(), strict=True)
            for row in range(start[1], end[1] + 1)
            for column in range(start[0], end[0] + 1)
        }
        whole = [place for place in sorted(touched) if _is_whole(page, *place)]
        return {
            (column * side, row * side): _stream(tiff, page, row * across + column)
            for row, column in whole
        }


def _is_whole(page: Any, row: int, column: int) -> bool:
    side = page.tilewidth
    return (row + 1) * side <= page.imagelength and (column + 1) * side <= page.imagewidth


def _stream(tiff: tifffile.TiffFile, page: Any, index: int) -> bytes:
    tiff.filehandle.seek(page.dataoffsets[index])
    stream: bytes = tiff.filehandle.read(page.databytecounts[index])
    return stream


def _decoder() -> tuple[str, Callable[[bytes], Pixels]]:
    """The fastest decoder of whole tiles that is installed."""
    if find_spec("simplejpeg"):
        return "simplejpeg", import_module("simplejpeg").decode_jpeg
    return "imagecodecs", imagecodecs.jpeg8_decode


def read_in_two_threads(bench: Bench) -> Measured:
    """Batches read ahead by two threads, beside one."""
    path, grid = _native(bench)
    two, one = (partial(_in_threads, threads) for threads in (2, 1))
    equal = _all_equal(two, one, path, grid, "same bytes")
    ours, beside = _draining(two, path, grid), _draining(one, path, grid)
    return _compare(bench, ours, beside, equal, of=f"{len(grid):,} tiles of 256 px")


def halve(bench: Bench) -> Measured:
    """Tiles at half the slide's resolution: exact area means, beside OpenSlide and Pillow."""
    path, grid = _coarser(bench)
    exact = _all_equal(_ours, _averaged, path, grid, "exact area means")
    ours, beside = _draining(_ours, path, grid), _draining(_resized, path, grid)
    return _compare(bench, ours, beside, exact, of=f"{len(grid):,} tiles, 512 → 256 px")


def _coarser(bench: Bench) -> tuple[Path, TileGrid]:
    path, scan = bench.slides.scan(bench.size.finer), bench.size.finer
    return path, some_tiles(path, TileSpec(px=256, mpp=2 * scan.mpp), bench.size.read_tiles)


def _averaged(path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Pixels]:
    """OpenSlide's pixels, the mean of every two by two rounded half up."""
    for pixels in _plainly(path, grid, stack):
        side = grid.spec.px
        fours = pixels.reshape(side, 2, side, 2, 3).sum(axis=(1, 3), dtype=np.uint16)
        yield ((fours + 2) // 4).astype(np.uint8)


def halve_in_dct(bench: Bench) -> Measured:
    """The same by decoding at half size, as `--fast-downsample` does."""
    path, grid = _coarser(bench)
    psnr = _psnr(_in_dct, _averaged, path, grid)
    near = Fact("dB to the exact means", psnr >= LEAST_PSNR, psnr)
    ours, beside = _draining(_in_dct, path, grid), _draining(_resized, path, grid)
    return _compare(bench, ours, beside, near, of=f"{len(grid):,} tiles, 512 → 256 px")


def _in_dct(path: Path, grid: TileGrid, stack: ExitStack) -> Iterator[Pixels]:
    whole, size = stack.enter_context(open_slide(path)), (grid.spec.px, grid.spec.px)
    slide = stack.enter_context(whole.shrunk(shrink_of(whole, grid)))
    return (read_box(slide, grid.box(row), size, grid.level) for row in range(len(grid)))


def _psnr(ours: Reading[Wanted], beside: Reading[Wanted], path: Path, wanted: Wanted) -> float:
    """How near the two are, in dB."""
    with ExitStack() as stack:
        pairs = zip(ours(path, wanted, stack), beside(path, wanted, stack), strict=True)
        noise = np.mean([np.square(one - two.astype(np.int64)).mean() for one, two in pairs])
        return 10 * log10(255**2 / noise)


def planes(bench: Bench) -> Measured:
    """Tiles of seven channels of 16 bits, beside tifffile's view of the file as an array."""
    path = bench.slides.multiplex()
    per_side = bench.size.multiplex_px // 256
    corners = [(x * 256, y * 256) for y in range(per_side) for x in range(per_side)]
    corners = corners[: bench.size.read_tiles]
    equal = _all_equal(_boxes, _sliced, path, corners, "same values")
    ours, beside = _draining(_boxes, path, corners), _draining(_sliced, path, corners)
    return _compare(bench, ours, beside, equal, of=f"{len(corners):,} tiles of 256 px")


def _boxes(path: Path, corners: Corners, stack: ExitStack) -> Iterator[Pixels]:
    slide = stack.enter_context(open_slide(path))
    return (read_box(slide, (x, y, 256.0, 256.0), (256, 256), 0) for x, y in corners)


def _sliced(path: Path, corners: Corners, stack: ExitStack) -> Iterator[Pixels]:
    tiff = stack.enter_context(tifffile.TiffFile(path))
    files = stack.enter_context(tiff.aszarr())
    array: Any = zarr.open_array(files, mode="r")
    return (array[:, y : y + 256, x : x + 256].transpose(1, 2, 0) for x, y in corners)


ROWS = (
    Row(
        "read", "read 256 px at level 0, 1 thread", "OpenSlide `read_region` → RGB", 4.5, 5.7, read
    ),
    Row("read-decode", "the same", "each JPEG tile decoded once", 0.75, 0.9, read_beside_decoding),
    Row("read-threads", "read with 2 threads", "1 thread", 1.6, 1.95, read_in_two_threads),
    Row("halve", "40× → 20×, exact area", "OpenSlide + Pillow's resize", 6, 8, halve),
    Row("halve-dct", "40× → 20×, DCT", "OpenSlide + Pillow's resize", 9, 12, halve_in_dct),
    Row("planes", "tiles of 7 channels", "tifffile `aszarr`, tile by tile", 3.5, 4.5, planes),
)
