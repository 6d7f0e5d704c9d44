"""Rows of an array straight from its chunk files, at the speed of a copy.

Zarr-python takes ten times as long as a copy for rows that lie on disk as they are. This reads the
arrays that this package writes, whose chunks are whole rows with nothing done to them but a
checksum at the end; every other layout is left to Zarr.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from math import prod
from operator import itemgetter
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from wsi_tools.store.copying import Copiers

__all__ = ["RowChunks"]

Rows = NDArray[np.integer[Any]]
Run = tuple[int, int, int, int]
"""Rows that follow each other in a chunk: which, where they begin and end in what is read, and the
place of the first in the chunk."""
Part = tuple[int, list[Run]]
"""A chunk, and the runs in it."""

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BYTES = ({"name": "bytes"}, {"name": "bytes", "configuration": {}})  # of one byte: no order to name
CHECKSUM = "crc32c"
CHECKSUM_BYTES = 4
SHARED_BYTES = 4 * 1024**2  # half a millisecond to copy; to wake a thread takes a tenth
KEYS = {"name": "default", "configuration": {"separator": "/"}}


@dataclass(frozen=True)
class RowChunks:
    """An array whose chunk files hold whole rows as they are in memory.

    Attributes:
        path: the array's folder.
        shape: of the array, rows first.
        dtype: little-endian.
        chunk_rows: rows per file; the last file is as long as the others.
        checked: whether a crc32c follows the rows.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_rows: int
    checked: bool

    @classmethod
    def of(cls, path: Path) -> "RowChunks | None":
        """The array in this folder; None where it is laid out in another way.

        Raises:
            FileNotFoundError: there is no array.
            ValueError: its metadata is torn.
        """
        metadata = json.loads((path / "zarr.json").read_bytes())
        try:
            return cls._described(path, metadata)
        except (KeyError, TypeError, IndexError):
            return None

    @classmethod
    def _described(cls, path: Path, metadata: dict[str, Any]) -> "RowChunks | None":
        shape, grid = tuple(metadata["shape"]), metadata["chunk_grid"]
        chunk_rows, *chunk_row = grid["configuration"]["chunk_shape"]
        dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        codec, *rest = metadata["codecs"]
        checks = [each["name"] for each in rest]
        as_in_memory = (
            grid["name"] == "regular"
            and tuple(chunk_row) == shape[1:]
            and (codec == LITTLE or (dtype.itemsize == 1 and codec in BYTES))
            and checks in ([], [CHECKSUM])
            and metadata["chunk_key_encoding"] == KEYS
            and not metadata.get("storage_transformers")
        )
        return cls(path, shape, dtype, chunk_rows, bool(checks)) if as_in_memory else None

    def read(
        self, rows: Rows | None = None, *, verify: bool = False, copiers: Copiers | None = None
    ) -> NDArray[Any]:
        """Read rows, ``(n, ...)`` in the array's dtype.

        Args:
            rows: ``(n,)`` which, best in ascending order; None for all.
            verify: compare every chunk with its checksum, those without such rows too.
            copiers: threads that help where there is much to copy.

        Raises:
            ValueError: a chunk is missing or too short, or is not what was written.
        """
        if verify and rows is not None:
            self.verify()
        tiles = self.shape[0] if rows is None else len(rows)
        values = np.empty((tiles, *self.shape[1:]), self.dtype)
        parts = self._parts(rows) if values.size else []
        fill = partial(self._fill, values, iter(parts), verify=verify and rows is None)
        if copiers and values.nbytes >= SHARED_BYTES:
            copiers.share(fill, len(parts))
        elif parts:
            fill()
        return values

    def verify(self) -> None:
        """Compare every chunk with its checksum.

        Raises:
            ValueError: a chunk is missing, too short, or not what was written.
        """
        into = np.empty((min(self.chunk_rows, self.shape[0]), *self.shape[1:]), self.dtype)
        for chunk, begin, end, place in self._whole():
            part = chunk, [(chunk, 0, end - begin, place)]
            self._fill(into, iter([part]), verify=True)

    def _fill(self, values: NDArray[Any], parts: Iterator[Part], *, verify: bool) -> None:
        """Copy chunk after chunk until none is left; threads may share the chunks."""
        into = values.data.cast("B")
        folder = _opened(self._folder, 0)
        try:
            for chunk, runs in parts:
                self._fill_from(chunk, folder, into, runs, verify=verify)
        finally:
            os.close(folder)

    def _fill_from(
        self, chunk: int, folder: int, into: memoryview, runs: Sequence[Run], *, verify: bool
    ) -> None:
        size, file = self._row_bytes, _opened(f"{chunk}{self._corner}", chunk, folder)
        try:
            for _, begin, end, place in runs:
                part = into[begin * size : end * size]
                if not _filled(part, file, place * size):
                    raise _torn(chunk)
                if verify and not self._is_as_written(part, file):
                    raise _torn(chunk)
        finally:
            os.close(file)

    def _is_as_written(self, rows: memoryview, file: int) -> bool:
        """Whether a chunk's rows, which were read, and what follows them have its checksum."""
        length = self.chunk_rows * self._row_bytes + (CHECKSUM_BYTES if self.checked else 0)
        if os.fstat(file).st_size != length:
            return False
        if not self.checked:
            return True
        rest = memoryview(bytearray(length - len(rows)))
        if not _filled(rest, file, len(rows)):
            return False
        padding, checksum = bytes(rest[:-CHECKSUM_BYTES]), bytes(rest[-CHECKSUM_BYTES:])
        found: int = google_crc32c.extend(_crc(rows), padding)
        return checksum == found.to_bytes(CHECKSUM_BYTES, "little")

    def _parts(self, rows: Rows | None) -> list[Part]:
        runs = self._whole() if rows is None else self._runs(rows)
        return [(chunk, list(those)) for chunk, those in groupby(runs, itemgetter(0))]

    def _whole(self) -> Iterator[Run]:
        for chunk, begin in enumerate(range(0, self.shape[0], self.chunk_rows)):
            yield chunk, begin, min(begin + self.chunk_rows, self.shape[0]), 0

    def _runs(self, rows: Rows) -> Iterator[Run]:
        """Rows that follow each other in one chunk."""
        chunks, places = np.divmod(rows, self.chunk_rows)
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(chunks) != 0)) + 1
        begins = np.concatenate(([0], breaks))
        ends = np.concatenate((breaks, [len(rows)]))
        return zip(
            chunks[begins].tolist(), begins.tolist(), ends.tolist(), places[begins].tolist(),
            strict=True,
        )  # fmt: skip

    @property
    def _folder(self) -> str:
        return f"{self.path}/c"

    @cached_property
    def _corner(self) -> str:
        return "/0" * (len(self.shape) - 1)

    @cached_property
    def _row_bytes(self) -> int:
        return prod(self.shape[1:]) * self.dtype.itemsize


def _filled(into: memoryview, file: int, offset: int) -> bool:
    """Whether the file has so much from there on; then it was copied."""
    done = os.preadv(file, [into], offset)
    while 0 < done < len(into):  # one call gives two gigabytes at most
        more = os.preadv(file, [into[done:]], offset + done)
        if not more:
            return False
        done += more
    return done == len(into)


def _crc(values: memoryview) -> int:
    checksum: int = google_crc32c.value(np.frombuffer(values, np.uint8))  # takes no memoryview
    return checksum


def _opened(name: str, chunk: int, folder: int | None = None) -> int:
    try:
        return os.open(name, os.O_RDONLY, dir_fd=folder)
    except FileNotFoundError:
        raise _torn(chunk) from None


def _torn(chunk: int) -> ValueError:
    return ValueError(f"its chunk {chunk} is missing or cut short, or not what was written")
