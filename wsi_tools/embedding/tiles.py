"""Tiles as batches of pixels, read ahead of whoever computes on them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide import Slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.tiling import TileGrid

Rows = NDArray[np.integer[Any]]
Pixels = NDArray[Any]
Develop = Callable[[Pixels], Pixels]

PART = 32  # tiles that one thread reads in a row; more, and threads would lie rows of tiles apart


@dataclass(frozen=True)
class TileBatch:
    """Some tiles of a grid.

    Attributes:
        rows: (B,) their rows in the grid, ascending.
        pixels: (B, px, px, C) in the slide's dtype, or what was developed from them; of zeros
            where a tile could not be read.
        unread: the rows that could not be read, each with its reason.
        seconds: that threads spent reading and decoding it.
        developing: seconds that they spent on what was developed from it.
    """

    rows: Rows
    pixels: Pixels
    unread: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    developing: float = 0.0


class TileReader:
    """Reads batches of tiles in the order asked for, some ahead, in threads with a handle each.

    At most `threads + 2` batches are read ahead, however large the slide. Threads share a large
    batch among them, so that they stay on neighbouring tiles and on the same pieces of the file.

    Args:
        slide: open; shows the channels that are wanted.
        grid: the tiles.
        threads: how many read.
        develop: done by them to the tiles, (B, px, px, C) in the slide's dtype, some at a time.
    """

    def __init__(
        self, slide: Slide, grid: TileGrid, *, threads: int, develop: Develop | None = None
    ) -> None:
        self._slide = slide
        self._grid = grid
        self._develop = develop
        self._ahead = threads + 2
        self._own = threading.local()
        self._handles = ExitStack()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="tiles")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._handles.close()

    def batches(self, plan: Iterable[Rows]) -> Iterator[TileBatch]:
        """Read every batch of the plan, in its order."""
        coming: deque[Sequence[Future[TileBatch]]] = deque()
        for rows in plan:
            coming.append(self._begun(rows))
            if len(coming) >= self._ahead:
                yield _joined(coming.popleft())
        while coming:
            yield _joined(coming.popleft())

    def _begun(self, rows: Rows) -> Sequence[Future[TileBatch]]:
        if len(rows) <= PART:
            return [self._threads.submit(self._read, rows)]
        whole = _Whole(len(rows))
        shares = [slice(start, start + PART) for start in range(0, len(rows), PART)]
        return [
            self._threads.submit(lambda share: whole.put(share, self._read(rows[share])), share)
            for share in shares
        ]

    def _read(self, rows: Rows) -> TileBatch:
        began = time.perf_counter()
        pixels = self._blank(len(rows))
        unread: dict[int, str] = {}
        for place, row in enumerate(rows):
            try:
                pixels[place] = self._persistently(int(row))
            except SlideError as error:
                unread[int(row)] = str(error)
        read = time.perf_counter()
        if self._develop is not None:
            pixels = self._develop(pixels)
        return TileBatch(rows, pixels, unread, read - began, time.perf_counter() - read)

    def _blank(self, tiles: int) -> Pixels:
        px, channels = self._grid.spec.px, self._slide.info.channels
        dtype = np.result_type(*(channel.dtype for channel in channels))
        return np.zeros((tiles, px, px, len(channels)), dtype)

    def _persistently(self, row: int) -> Pixels:
        """Read a tile; if that fails once more, with a new handle: disks far away stumble."""
        try:
            return self._tile(row)
        except SlideError:
            self._let_go()
        try:
            return self._tile(row)
        except SlideError:
            self._let_go()
            raise

    def _tile(self, row: int) -> Pixels:
        px = self._grid.spec.px
        return read_box(self._handle(), self._grid.box(row), (px, px), self._grid.level)

    def _let_go(self) -> None:
        """Close this thread's handle: after a failed read it is not to be trusted."""
        handle: Slide | None = getattr(self._own, "slide", None)
        if handle is not None:
            handle.close()
            self._own.slide = None

    def _handle(self) -> Slide:
        if getattr(self._own, "slide", None) is None:
            self._own.slide = self._handles.enter_context(self._slide.reopen())
        handle: Slide = self._own.slide
        return handle


class _Whole:
    """The pixels of a batch in one piece of memory, which each thread puts its share into."""

    def __init__(self, tiles: int) -> None:
        self._tiles = tiles
        self._pixels: Pixels | None = None
        self._guard = threading.Lock()

    def put(self, share: slice, batch: TileBatch) -> TileBatch:
        """Copy a share to its place; gives it with the pixels of the whole."""
        with self._guard:  # the first to come knows what tiles are developed into
            if self._pixels is None:
                shape = (self._tiles, *batch.pixels.shape[1:])
                self._pixels = np.empty(shape, batch.pixels.dtype)
            whole = self._pixels
        whole[share] = batch.pixels
        return replace(batch, pixels=whole)


def _joined(coming: Sequence[Future[TileBatch]]) -> TileBatch:
    """One batch of its shares, whose pixels lie in one piece of memory already."""
    shares = [each.result() for each in coming]
    if len(shares) == 1:
        return shares[0]
    return TileBatch(
        np.concatenate([share.rows for share in shares]),
        shares[0].pixels,
        {row: why for share in shares for row, why in share.unread.items()},
        sum(share.seconds for share in shares),
        sum(share.developing for share in shares),
    )
