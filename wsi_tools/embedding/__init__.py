"""Embedding: the tiles of a grid, through one or more backbones, into rows of features."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
            that a resumed run computes exactly what an uninterrupted one does.
        readers: threads that read tiles ahead.
        most_unread: how many tiles may be unreadable; with more the slide fails.
        develop: what the reading threads make of a batch of pixels; None leaves it as it is.
    """

    batch_size: int
    readers: int
    most_unread: float
    develop: Develop | None = None


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
    """Where the time went, in seconds of this thread, and of the threads that read.

    Attributes:
        reading: and decoding; of the threads that read.
        resizing: and what else is made of pixels before a batch is handed over; of the same.
        waiting: for them.
        computing: the forward passes, with what is left of resizing and normalising.
        writing: of features.
    """

    reading: float = 0.0
    resizing: float = 0.0
    waiting: float = 0.0
    computing: float = 0.0
    writing: float = 0.0
    tiles: int = 0
    unread: dict[int, str] = field(default_factory=dict)

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
    spent = Spent()
    begin = min(column.done for column in columns)
    plan = _Plan(wanted, begin, options.batch_size)
    with TileReader(slide, grid, threads=options.readers, develop=options.develop) as reader:
        batches = _timed(reader.batches(plan.batches()), spent)
        for first, last in plan.chunks():
            at_work = [column for column in columns if column.done < last]
            rows = [np.zeros((last - first, *each.backbone.shape), np.float32) for each in at_work]
            for batch in islice(batches, plan.batches_in(first, last)):
                _embed(batch, first, at_work, rows, spent)
                _refuse_too_many(slide, spent, options.most_unread)
                report("embed", int(batch.rows[-1]) + 1, len(wanted))
            _commit(first, at_work, rows, spent)
    return spent


@dataclass(frozen=True)
class _Plan:
    """Which rows are read together: batches within chunks, in storage order."""

    wanted: NDArray[np.bool_]
    begin: int
    batch_size: int

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


def _embed(
    batch: TileBatch,
    first: int,
    columns: Sequence[Column],
    rows: Sequence[NDArray[np.float32]],
    spent: Spent,
) -> None:
    began = time.perf_counter()
    read = np.array([row not in batch.unread for row in batch.rows])
    for column, values in zip(columns, rows, strict=True):
        values[batch.rows[read] - first] = column.backbone.embed_pixels(batch.pixels[read])
    spent.computing += time.perf_counter() - began
    spent.reading += batch.seconds
    spent.resizing += batch.developing
    spent.tiles += int(read.sum())
    spent.unread |= batch.unread


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


def _timed(batches: Iterator[TileBatch], spent: Spent) -> Iterator[TileBatch]:
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        spent.waiting += time.perf_counter() - began
        if batch is None:
            return
        yield batch
