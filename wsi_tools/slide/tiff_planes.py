"""Planes of a TIFF: tiles and strips that are decoded, and rows that need no decoding."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from operator import add
from typing import Any, ClassVar

import cv2
import numpy as np

from wsi_tools.errors import SlideError
from wsi_tools.slide.jpeg_tiles import JpegTiles, jpeg_tiles
from wsi_tools.slide.pieces import Key, Piece, Plane
from wsi_tools.slide.stack import Stack

__all__ = ["colour_plane", "shrunk_plane", "tiff_plane"]

RAW_PIECE_BYTES = 1024**2  # of whole rows; the read that costs as much as its seek
COLOURS = slice(0, 3)
JPEG = (6, 7, 34892, 33007)  # compressions for which tifffile takes tables and a header


def tiff_plane(level: Any, stack: Stack, place: int, source: int = 0) -> Plane:
    """The plane that shows a channel at one level.

    Args:
        level: one of the levels of tifffile's series; its file must stay open.
        stack: where each channel of that level lies.
        place: which channel.
        source: which file of the slide it is, where there are several.

    Raises:
        SlideError: the file does not hold it, or ends before it does.
    """
    plane = _stored(level, stack, place, source)
    _refuse_cut(plane, level.keyframe)
    return plane


def colour_plane(page: Any) -> Plane:
    """The red, green and blue of one page, interleaved in tiles.

    Args:
        page: tifffile's; its file must stay open.

    Raises:
        SlideError: it is not stored so, or the file lacks tiles or ends before they do.
    """
    if page.planarconfig != 1:
        raise SlideError("a plane for each colour")
    if 0 in page.databytecounts:
        raise SlideError("some tiles are left out, which OpenSlide fills")
    plane = _EncodedPlane(0, page, COLOURS, 0)
    _refuse_cut(plane, page)
    _ = page.keyframe.decode  # made here: that may move the file's position, which threads share
    tiles = jpeg_tiles(page)
    return plane if tiles is None else _JpegPlane(plane, tiles)


def shrunk_plane(plane: Plane, factor: int) -> Plane | None:
    """A plane of colours decoded at so many times less; None where its tiles cannot be."""
    tiles = plane.tiles.shrunk(factor) if isinstance(plane, _JpegPlane) else None
    return replace(plane, tiles=tiles) if tiles and isinstance(plane, _JpegPlane) else None


def _refuse_cut(plane: "_EncodedPlane | _RawPlane", page: Any) -> None:
    missing = plane.end - page.parent.filehandle.size
    if missing > 0:
        raise SlideError(f"the file ends {missing:,} bytes too early")


@dataclass(frozen=True)
class _EncodedPlane:
    """A plane stored as tiles or strips, which tifffile decodes.

    Attributes:
        source: which file of the slide.
        page: tifffile's.
        sample: which of a pixel's values, where they lie beside one another, or all colours.
        separate: which of them, where the page stores one after another.
    """

    source: int
    page: Any
    sample: int | slice
    separate: int

    @property
    def piece_px(self) -> tuple[int, int]:
        kept = self.page.keyframe
        if kept.is_tiled:
            return kept.tilewidth, kept.tilelength
        return kept.imagewidth, kept.rowsperstrip

    @property
    def end(self) -> int:
        """One past the last byte of its tiles or strips."""
        starts, lengths = self.page.dataoffsets, self.page.databytecounts
        return int(max(map(add, starts, lengths), default=0))

    def band(self, row: int) -> Key:
        return self.source, int(self.page.offset), self.separate, row

    def load(self, column: int, row: int) -> Piece:
        """Decode one tile or strip; what the file leaves out is zero."""
        index = self._index(column, row)
        kept = self.page.keyframe
        length = self.page.databytecounts[index]
        if length == 0:
            width, height = self.piece_px
            return np.zeros((height, width, _interleaved(kept)), kept.dtype)
        stored = _bytes(kept, self.page.dataoffsets[index], length)
        decoded, _, _ = kept.decode(stored, index, **self._tables())
        return np.asarray(decoded[0])  # of (depth, height, width, samples)

    def _tables(self) -> dict[str, Any]:
        kept = self.page.keyframe
        if kept.compression not in JPEG:
            return {}
        return {"jpegtables": self.page.jpegtables, "jpegheader": kept.jpegheader}

    def _index(self, column: int, row: int) -> int:
        kept = self.page.keyframe
        width, height = self.piece_px
        across, down = -(-kept.imagewidth // width), -(-kept.imagelength // height)
        return int((self.separate * down + row) * across + column)


@dataclass(frozen=True)
class _JpegPlane:
    """Colours stored as JPEG tiles.

    Attributes:
        encoded: the same as tifffile decodes it, for tiles that are not as the page says.
        tiles: how they are decoded here.
    """

    encoded: _EncodedPlane
    tiles: JpegTiles
    sample: ClassVar[slice] = COLOURS

    @cached_property
    def piece_px(self) -> tuple[int, int]:
        height, width, _ = self.tiles.shape
        return width, height

    def band(self, row: int) -> Key:
        return *self._page_key, row

    def load(self, column: int, row: int) -> Piece:
        """Decode one tile."""
        decoded = self.tiles.decoded(self._stored(row * self._across + column))
        return self._by_tifffile(column, row) if decoded is None else decoded

    def _by_tifffile(self, column: int, row: int) -> Piece:
        whole = self.encoded.load(column, row)
        if self.tiles.shrink == 1:
            return whole
        height, width = (-(-side // self.tiles.shrink) for side in whole.shape[:2])
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))

    def _stored(self, index: int) -> bytes:
        page = self.encoded.page
        return _bytes(page, page.dataoffsets[index], page.databytecounts[index])

    @cached_property
    def _across(self) -> int:
        return -(-int(self.encoded.page.keyframe.imagewidth) // self.tiles.size_px[0])

    @cached_property
    def _page_key(self) -> Key:
        return self.encoded.source, int(self.encoded.page.offset)


@dataclass(frozen=True)
class _RawPlane:
    """A plane stored uncompressed from one byte on, row after row.

    Attributes:
        source: which file of the slide.
        page: tifffile's, of the file's first plane.
        sample: which of a pixel's values it is.
        offset: where the plane begins, in bytes.
    """

    source: int
    page: Any
    sample: int
    offset: int

    @property
    def piece_px(self) -> tuple[int, int]:
        """(width, height) of a band of whole rows."""
        rows = min(int(self.page.imagelength), RAW_PIECE_BYTES // self._row_bytes)
        return int(self.page.imagewidth), max(1, rows)

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.offset + int(self.page.imagelength) * self._row_bytes

    def band(self, row: int) -> Key:
        return self.source, self.offset, row

    def load(self, column: int, row: int) -> Piece:
        """Read a band of whole rows."""
        del column
        band = self.piece_px[1]
        rows = min(band, self.page.imagelength - row * band)
        start = self.offset + row * band * self._row_bytes
        stored = _bytes(self.page, start, rows * self._row_bytes)
        shape = rows, self.page.imagewidth, _interleaved(self.page)
        return np.frombuffer(stored, _stored_dtype(self.page)).reshape(shape)

    @property
    def _row_bytes(self) -> int:
        return int(self.page.imagewidth * _interleaved(self.page) * self.page.dtype.itemsize)


def _stored(level: Any, stack: Stack, place: int, source: int) -> _EncodedPlane | _RawPlane:
    kept = level.keyframe
    sample, separate = stack.samples[place], stack.separate[place]
    if level.dataoffset is not None and not kept.is_tiled:
        alone = kept.imagelength * kept.imagewidth * _interleaved(kept) * kept.dtype.itemsize
        before = stack.pages[place] * prod(kept.shape) * kept.dtype.itemsize + separate * alone
        return _RawPlane(source, kept, sample, level.dataoffset + before)
    page = level[stack.pages[place]]
    if page is None or page.parent is not kept.parent:
        raise SlideError("its plane is not in the file, which was cut short or is one of several")
    return _EncodedPlane(source, page, sample, separate)


def _interleaved(page: Any) -> int:
    """How many values lie beside one another."""
    return int(page.samplesperpixel) if page.planarconfig == 1 else 1


def _stored_dtype(page: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(page.parent.byteorder + page.dtype.char)
    return dtype


def _bytes(page: Any, offset: int, length: int) -> bytes:
    stored = os.pread(page.parent.filehandle.fileno(), length, offset)
    if len(stored) != length:
        raise SlideError(f"the file ends {length - len(stored):,} bytes too early")
    return stored
