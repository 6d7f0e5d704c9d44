"""Planes read piece by piece: a tile, strip or chunk is decoded once and then cut from memory.

A piece is what must be decoded whole, and a band is a row of pieces. All handles of one slide share
the bands that the latest rectangles lay on and no others, so that tiles read row by row decode each
piece once, and a long run holds no more than a short one.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
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
LAG = 256  # rectangles from one thread to another: of eight threads with 32 tiles each


@dataclass
class _Band:
    """A row of pieces by column, and the rectangle that last met it, counted from the first."""

    used: int = 0
    pieces: dict[int, Piece | Future[Piece]] = field(default_factory=dict)


class PieceCache:
    """Decoded pieces by band and column; several threads may use it at once."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._held = self._rectangles = 0
        self._bands: OrderedDict[Key, _Band] = OrderedDict()  # those used longest ago come first
        self._lock = Lock()

    def begin(self) -> None:
        """A rectangle is about to be read: let go of bands that none of the latest has met."""
        with self._lock:
            self._rectangles += 1
            while self._bands and self._oldest.used < self._rectangles - LAG:
                self._held -= sum(map(_bytes, self._bands.popitem(last=False)[1].pieces.values()))

    def get(self, band: Key, column: int, load: Callable[[], Piece]) -> Piece:
        """The piece, loaded if it is not held; of threads that want the same, one loads it."""
        with self._lock:
            held = self._bands.setdefault(band, _Band())
            self._bands.move_to_end(band)
            held.used = self._rectangles
            found = held.pieces.get(column)
            if found is None:
                coming: Future[Piece] = Future()
                held.pieces[column] = coming
        if found is None:
            return self._loaded(band, column, coming, load)
        return found.result() if isinstance(found, Future) else found

    def _loaded(
        self, band: Key, column: int, coming: Future[Piece], load: Callable[[], Piece]
    ) -> Piece:
        try:
            piece = load()
        except BaseException as error:  # goes on, and to the threads that wait for this piece
            with self._lock:
                self._replace(band, column, coming, None)
            coming.set_exception(error)
            raise
        with self._lock:
            self._replace(band, column, coming, piece if piece.nbytes <= self._limit else None)
            self._shrink()
        coming.set_result(piece)
        return piece

    def _replace(self, band: Key, column: int, coming: Future[Piece], piece: Piece | None) -> None:
        """Put the piece where it was awaited, unless that band was let go of meanwhile."""
        held = self._bands.get(band)
        if held is None or held.pieces.get(column) is not coming:
            return
        del held.pieces[column]
        if piece is not None:
            held.pieces[column] = piece
            self._held += piece.nbytes

    def _shrink(self) -> None:
        """Hold the limit: of the bands used longest ago the pieces loaded first."""
        while self._held > self._limit:
            pieces = self._oldest.pieces
            if pieces:
                self._held -= _bytes(pieces.pop(next(iter(pieces))))
            else:
                self._bands.popitem(last=False)

    @property
    def _oldest(self) -> _Band:
        return next(iter(self._bands.values()))


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

    def band(self, row: int) -> Key:
        """What tells a row of pieces from every other of the slide."""
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
    cache.begin()
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
    cache.begin()
    _fill(out, plane, box, cache)
    return out


def _fill(canvas: NDArray[Any], plane: Plane, box: Box, cache: PieceCache) -> None:
    x, y, width, height = box
    (piece_w, piece_h), sample = plane.piece_px, plane.sample
    for row in range(y // piece_h, (y + height - 1) // piece_h + 1):
        band, top = plane.band(row), row * piece_h - y  # of the piece on the canvas
        rows, to_y = slice(max(-top, 0), height - top), max(top, 0)
        for column in range(x // piece_w, (x + width - 1) // piece_w + 1):
            piece = cache.get(band, column, partial(plane.load, column, row))
            left = column * piece_w - x
            part = piece[rows, max(-left, 0) : width - left, sample]
            to_x = max(left, 0)
            canvas[to_y : to_y + part.shape[0], to_x : to_x + part.shape[1]] = part


def _bytes(piece: Piece | Future[Piece]) -> int:
    return 0 if isinstance(piece, Future) else piece.nbytes
