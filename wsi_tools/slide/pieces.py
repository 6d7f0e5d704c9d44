"""Planes of a TIFF read piece by piece: a tile or strip is decoded once and then cut from memory.

A piece is what must be decoded whole. Pieces are kept, the latest used longest, up to a bound in
bytes that all handles of one file share, so that tiles read row by row decode each piece once.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import add
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import SlideError

__all__ = ["EncodedPlane", "PieceCache", "Plane", "RawPlane", "read_plane"]

Piece = NDArray[Any]
Box = tuple[int, int, int, int]

CACHE_BYTES = 256 * 1024**2  # two rows of 512 px tiles of 8 channels of uint16, 12,000 px wide
RAW_PIECE_BYTES = 1024**2  # of whole rows; the read that costs as much as its seek


class PieceCache:
    """Decoded pieces by their place in the file; several threads may use it at once."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._pieces: OrderedDict[int, Piece] = OrderedDict()
        self._lock = Lock()

    def get(self, key: int, load: Callable[[], Piece]) -> Piece:
        """The piece, loaded if it is not held; two threads may load the same one at once."""
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        piece = load()
        with self._lock:
            self._keep(key, piece)
        return piece

    def _keep(self, key: int, piece: Piece) -> None:
        if key in self._pieces or piece.nbytes > self._limit:
            return
        self._pieces[key] = piece
        self._held += piece.nbytes
        while self._held > self._limit:
            self._held -= self._pieces.popitem(last=False)[1].nbytes


@dataclass(frozen=True)
class EncodedPlane:
    """A plane stored as tiles or strips, compressed or not, which tifffile decodes.

    Attributes:
        channel: its name, for errors.
        sample: which of a piece's interleaved values it is.
        page: tifffile's.
        separate: which of the page's samples stored one after another.
    """

    channel: str
    sample: int
    page: Any
    separate: int = 0

    @property
    def piece_px(self) -> tuple[int, int]:
        """(width, height) of a tile or strip."""
        kept = self.page.keyframe
        return (kept.tilewidth if kept.is_tiled else kept.imagewidth), (
            kept.tilelength if kept.is_tiled else kept.rowsperstrip
        )

    @property
    def end(self) -> int:
        """One past the last byte of its tiles or strips."""
        starts, lengths = self.page.dataoffsets, self.page.databytecounts
        return int(max(map(add, starts, lengths), default=0))

    def key(self, column: int, row: int) -> int:
        """Where the tile or strip begins; negative and made up where the file leaves it out."""
        index = self._index(column, row)
        return int(self.page.dataoffsets[index]) or -index - 1

    def load(self, file: int, column: int, row: int) -> Piece:
        """Decode one tile or strip; what the file leaves out is zero."""
        index = self._index(column, row)
        offset, length = self.page.dataoffsets[index], self.page.databytecounts[index]
        kept = self.page.keyframe
        if length == 0:
            width, height = self.piece_px
            samples = kept.samplesperpixel if kept.planarconfig == 1 else 1
            return np.zeros((height, width, samples), kept.dtype)
        told = {"jpegtables": self.page.jpegtables, "jpegheader": kept.jpegheader}
        stored = _bytes(file, offset, length)
        decoded, _, _ = kept.decode(stored, index, **(told if _is_jpeg(kept) else {}))
        return np.asarray(decoded[0])

    def _index(self, column: int, row: int) -> int:
        kept = self.page.keyframe
        width, height = self.piece_px
        across, down = -(-kept.imagewidth // width), -(-kept.imagelength // height)
        return (self.separate * down + row) * across + column


@dataclass(frozen=True)
class RawPlane:
    """A plane stored uncompressed from one byte on, row after row.

    Attributes:
        channel: its name, for errors.
        sample: which of a pixel's values it is.
        offset: where the plane begins, in bytes.
        shape: (height, width, samples).
        dtype: with the file's byte order.
    """

    channel: str
    sample: int
    offset: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    @property
    def piece_px(self) -> tuple[int, int]:
        """(width, height) of a band of whole rows."""
        return self.shape[1], max(1, min(self.shape[0], RAW_PIECE_BYTES // self._row_bytes))

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.offset + self.shape[0] * self._row_bytes

    def key(self, column: int, row: int) -> int:
        """Where the band begins."""
        del column  # there is one
        return self.offset + row * self.piece_px[1] * self._row_bytes

    def load(self, file: int, column: int, row: int) -> Piece:
        """Read a band of whole rows."""
        rows = min(self.piece_px[1], self.shape[0] - row * self.piece_px[1])
        stored = _bytes(file, self.key(column, row), rows * self._row_bytes)
        return np.frombuffer(stored, self.dtype).reshape(rows, *self.shape[1:])

    @property
    def _row_bytes(self) -> int:
        return self.shape[1] * self.shape[2] * self.dtype.itemsize


Plane = EncodedPlane | RawPlane


def read_plane(plane: Plane, file: int, box: Box, out: NDArray[Any], cache: PieceCache) -> None:
    """Fill `out` (height, width) with the rectangle `box` (x, y, width, height) of the plane.

    Raises:
        Exception: what the decoder raises.
    """
    x, y, width, height = box
    for column, row in _touched(plane.piece_px, box):
        left, top = column * plane.piece_px[0], row * plane.piece_px[1]
        piece = cache.get(plane.key(column, row), partial(plane.load, file, column, row))
        part = piece[
            max(y - top, 0) : y + height - top, max(x - left, 0) : x + width - left, plane.sample
        ]
        to_x, to_y = max(left - x, 0), max(top - y, 0)
        out[to_y : to_y + part.shape[0], to_x : to_x + part.shape[1]] = part


def _touched(
    piece_px: tuple[int, int], box: tuple[int, int, int, int]
) -> Iterator[tuple[int, int]]:
    """Yield (column, row) of each piece that the rectangle meets."""
    (piece_w, piece_h), (x, y, width, height) = piece_px, box
    for row in range(y // piece_h, (y + height - 1) // piece_h + 1):
        for column in range(x // piece_w, (x + width - 1) // piece_w + 1):
            yield column, row


def _bytes(file: int, offset: int, length: int) -> bytes:
    stored = os.pread(file, length, offset)
    if len(stored) != length:
        raise SlideError(f"the file ends {length - len(stored)} bytes too early")
    return stored


def _is_jpeg(page: Any) -> bool:
    return page.compression in (6, 7, 34892, 33007)  # those for which tifffile takes tables
