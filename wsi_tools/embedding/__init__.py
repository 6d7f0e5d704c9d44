"""Embedding: the tiles of a grid, through one or more backbones, into rows of features."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_tools.embedding.lanes import Lanes
from wsi_tools.embedding.tiles import Develop, Rows, TileBatch, TileReader
from wsi_tools.errors import SlideError
from wsi_tools.execution import Report
from wsi_tools.slide import Slide
from wsi_tools.store.layout import CHUNK_ROWS
from wsi_tools.tiling import TileGrid

if TYPE_CHECKING:
    from wsi_tools.store.features import FeatureWriter

__all__ = ["ENGINES", "Column", "EmbedOptions", "Embedder", "Spent", "fill"]

ENGINES = ("torch", "openvino")
"""What can carry out a network, by the names a user types."""


class Embedder(Protocol):
    """What turns tiles into features: a backbone, or one that looks at markers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one tile's features: ``(D,)`` or ``(M, D)``."""
        ...

    def embed_pixels(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Embed a batch of B tiles, as read or as developed, into ``(B, *shape)``."""
        ...


@dataclass(frozen=True)
class EmbedOptions:
    """How tiles are embedded; nothing here changes which backbone or which tiles.

    Attributes:
        batch_size: tiles that are read and embedded together; batches never straddle a chunk, so
            that a run resumed with the same size computes exactly what an uninterrupted one does.
        readers: threads that read tiles ahead.
        most_unread: how many tiles may be unreadable; with more the slide fails.
        develop: what the reading threads make of a batch of pixels; None leaves it as it is.
        lanes: threads that compute, each on a batch of its own, if there are so many batches.
        begin_lane: what each of them does first, given how many there are.
    """

    batch_size: int
    readers: int
    most_unread: float
    develop: Develop | None = None
    lanes: int = 1
    begin_lane: Callable[[int], None] = lambda lanes: None


@dataclass
class Column:
    """One backbone and the features it fills; rows before `done` are committed."""

    backbone: Embedder
    features: "FeatureWriter"
    done: int = 0

    def write_chunk(self, first: int, rows: NDArray[np.float32]) -> None:
        """Commit the rows of one chunk."""
        self.features.append(first, rows)
        self.done = first + len(rows)


@dataclass
class Spent:
    """Where the time went, in seconds.

    Attributes:
        elapsed: of the whole call.
        reading: and decoding; of all threads that read.
        resizing: and what else is made of pixels before a batch is handed over; of the same.
        waiting: of all threads that compute, for tiles and for each other's rows to be written.
        computing: the forward passes, with what is left of resizing and normalising; of the same.
        writing: of features.
    """

    elapsed: float = 0.0
    reading: float = 0.0
    resizing: float = 0.0
    waiting: float = 0.0
    computing: float = 0.0
    writing: float = 0.0
    tiles: int = 0
    unread: dict[int, str] = field(default_factory=dict)

    def add(self, batch: "Spent") -> None:
        """Count what a batch took."""
        self.reading += batch.reading
        self.resizing += batch.resizing
        self.computing += batch.computing
        self.tiles += batch.tiles
        self.unread |= batch.unread

    def seconds(self) -> dict[str, float]:
        """The times alone, by name, to a hundredth."""
        return {
            each.name: round(getattr(self, each.name), 2)
            for each in fields(self)
            if each.type in (float, "float")
        }


def fill(
    slide: Slide,
    grid: TileGrid,
    columns: Sequence[Column],
    *,
    wanted: NDArray[np.bool_],
    options: EmbedOptions,
    report: Report,
) -> Spent:
    """Embed the wanted tiles of a grid, decoding each once for all columns.

    Args:
        slide: open; each reading thread takes a handle of its own. A multiplex slide shows the
            channels that are wanted.
        grid: N tiles.
        columns: where to write; each goes on from its own `done`.
        wanted: (N,) bool; the rows of other tiles are zeros.
        options: batch size, threads, and how many unreadable tiles are too many.
        report: called after every batch; raises to stop, with whole chunks committed.

    Raises:
        SlideError: too many tiles could not be read.
        DataError: a feature is not finite or does not fit its dtype.
    """
    spent, began = Spent(), time.perf_counter()
    begin = min(column.done for column in columns)
    plan = _Plan(wanted, begin, options.batch_size)
    count = max(1, min(options.lanes, plan.count))
    with (
        TileReader(slide, grid, threads=options.readers, develop=options.develop) as reader,
        Lanes(count, partial(options.begin_lane, count)) as lanes,
    ):
        compute = partial(_embedded, [(each.done, each.backbone) for each in columns])
        batches = lanes.each(compute, reader.batches(plan.batches()))
        for first, last in plan.chunks():
            at_work = [column for column in columns if column.done < last]
            rows = [np.zeros((last - first, *each.backbone.shape), np.float32) for each in at_work]
            for batch in islice(batches, plan.batches_in(first, last)):
                for column_rows, values in zip(rows, batch.values, strict=True):
                    column_rows[batch.rows - first] = values
                spent.add(batch.spent)
                _refuse_too_many(slide, spent, options.most_unread)
                report("embed", batch.last + 1, len(wanted))
            _commit(first, at_work, rows, spent)
    spent.elapsed = time.perf_counter() - began
    spent.waiting = max(0.0, count * spent.elapsed - spent.computing)
    return spent


@dataclass(frozen=True)
class _Plan:
    """Which rows are read together: batches within chunks, in storage order."""

    wanted: NDArray[np.bool_]
    begin: int
    batch_size: int

    @property
    def count(self) -> int:
        """Of batches."""
        return sum(self.batches_in(*chunk) for chunk in self.chunks())

    def chunks(self) -> Iterator[tuple[int, int]]:
        for first in range(self.begin, len(self.wanted), CHUNK_ROWS):
            yield first, min(first + CHUNK_ROWS, len(self.wanted))

    def batches(self) -> Iterator[Rows]:
        for first, last in self.chunks():
            rows = self._rows(first, last)
            for start in range(0, len(rows), self.batch_size):
                yield rows[start : start + self.batch_size]

    def batches_in(self, first: int, last: int) -> int:
        return -(-len(self._rows(first, last)) // self.batch_size)

    def _rows(self, first: int, last: int) -> Rows:
        return first + np.flatnonzero(self.wanted[first:last])


@dataclass(frozen=True)
class _Embedded:
    """What became of a batch.

    Attributes:
        rows: (B,) those of it that could be read.
        last: its last row, read or not.
        values: (B, *shape) features of those rows, for each column that lacked them.
        spent: on this batch.
    """

    rows: Rows
    last: int
    values: Sequence[NDArray[np.float32]]
    spent: Spent


def _embedded(columns: Sequence[tuple[int, Embedder]], batch: TileBatch) -> _Embedded:
    """A batch through the backbone of every column, less those whose rows go beyond it already."""
    began = time.perf_counter()
    read = np.array([row not in batch.unread for row in batch.rows])
    pixels = batch.pixels if read.all() else batch.pixels[read]
    lacking = [backbone for done, backbone in columns if done <= batch.rows[0]]
    values = [backbone.embed_pixels(pixels) for backbone in lacking]
    spent = Spent(
        reading=batch.seconds,
        resizing=batch.developing,
        computing=time.perf_counter() - began,
        tiles=len(pixels),
        unread=batch.unread,
    )
    return _Embedded(batch.rows[read], int(batch.rows[-1]), values, spent)


def _commit(
    first: int, columns: Sequence[Column], rows: Sequence[NDArray[np.float32]], spent: Spent
) -> None:
    began = time.perf_counter()
    bad = np.array([row for row in spent.unread if first <= row], np.int64)
    columns[0].features.mark_invalid(bad)
    for column, values in zip(columns, rows, strict=True):
        column.write_chunk(first, values)
    spent.writing += time.perf_counter() - began


def _refuse_too_many(slide: Slide, spent: Spent, limit: float) -> None:
    if spent.unread and len(spent.unread) > limit:
        row, reason = next(iter(spent.unread.items()))
        raise SlideError(
            f"{slide.info.path.name}: {len(spent.unread)} tiles could not be read "
            f"(tile {row}: {reason}); allow more with --max-bad-tiles"
        )
