"""Planes read piece by piece: a tile, strip or chunk is decoded once and then cut from memory.

A piece is what must be decoded whole. Pieces are kept, the latest used longest, up to a bound in
bytes that all handles of one slide share, so that tiles read row by row decode each piece once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Channel
from wsi_tools.slide.tiff import DECODING_FAILURES

__all__ = ["Key", "Piece", "PieceCache", "Plane", "read_colours", "read_planes"]

Piece = NDArray[Any]
Box = tuple[int, int, int, int]
Key = tuple[int, ...]

CACHE_BYTES = 256 * 1024**2  # two rows of 512 px tiles of 8 channels of uint16, 12,000 px wide


class PieceCache:
    """Decoded pieces by their place in the slide; several threads may use it at once."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._pieces: OrderedDict[Key, Piece] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key, load: Callable[[], Piece]) -> Piece:
        """The piece, loaded if it is not held; two threads may load the same one at once."""
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        piece = load()
        with self._lock:
            self._keep(key, piece)
        return piece

    def _keep(self, key: Key, piece: Piece) -> None:
        if key in self._pieces or piece.nbytes > self._limit:
            return
        self._pieces[key] = piece
        self._held += piece.nbytes
        while self._held > self._limit:
            self._held -= self._pieces.popitem(last=False)[1].nbytes


class Plane(Protocol):
    """One channel of one level."""

    @property
    def sample(self) -> int | slice:
        """Which of a piece's values per pixel is this channel's, or are the colours."""
        ...

    @property
    def piece_px(self) -> tuple[int, int]:
        """(width, height) of a piece; those at the right and lower edge may be cut."""
        ...

    def key(self, column: int, row: int) -> Key:
        """What tells the piece from every other of the slide."""
        ...

    def load(self, column: int, row: int) -> Piece:
        """Decode a piece: (height, width, samples)."""
        ...


def read_planes(
    planes: Sequence[Plane], channels: Sequence[Channel], box: Box, cache: PieceCache
) -> NDArray[Any]:
    """Read the rectangle `box` (x, y, width, height) of each plane.

    Returns:
        (height, width, channels) in the first channel's dtype, each plane in one piece of memory.

    Raises:
        SlideError: a plane cannot be decoded there; with the channel's name.
    """
    out = np.empty((len(planes), box[3], box[2]), channels[0].dtype)
    for plane, channel, canvas in zip(planes, channels, out, strict=True):
        try:
            _fill(canvas, plane, box, cache)
        except DECODING_FAILURES as error:
            raise SlideError(f"channel {channel.name}: {error}") from error
    return out.transpose(1, 2, 0)


def read_colours(plane: Plane, box: Box, cache: PieceCache) -> NDArray[np.uint8]:
    """Read the rectangle `box` (x, y, width, height) of a plane of red, green and blue.

    Returns:
        uint8 (height, width, 3).

    Raises:
        DECODING_FAILURES: as the decoder puts it.
    """
    out = np.empty((box[3], box[2], 3), np.uint8)
    _fill(out, plane, box, cache)
    return out


def _fill(canvas: NDArray[Any], plane: Plane, box: Box, cache: PieceCache) -> None:
    x, y, width, height = box
    for column, row in _touched(plane.piece_px, box):
        piece = cache.get(plane.key(column, row), partial(plane.load, column, row))
        left, top = column * plane.piece_px[0], row * plane.piece_px[1]
        rows = slice(max(y - top, 0), y + height - top)
        columns = slice(max(x - left, 0), x + width - left)
        part = piece[rows, columns, plane.sample]
        to_x, to_y = max(left - x, 0), max(top - y, 0)
        canvas[to_y : to_y + part.shape[0], to_x : to_x + part.shape[1]] = part


def _touched(piece_px: tuple[int, int], box: Box) -> Iterator[tuple[int, int]]:
    """Yield (column, row) of each piece that the rectangle meets."""
    (piece_w, piece_h), (x, y, width, height) = piece_px, box
    for row in range(y // piece_h, (y + height - 1) // piece_h + 1):
        for column in range(x // piece_w, (x + width - 1) // piece_w + 1):
            yield column, row
