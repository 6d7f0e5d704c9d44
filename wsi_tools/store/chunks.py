"""Rows of an array straight from its chunk files, at the speed of a copy.

Zarr-python takes ten times as long as a copy for rows that lie on disk as they are. This reads the
arrays that this package writes, whose chunks are whole rows with nothing done to them but a
checksum at the end; every other layout is left to Zarr.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import prod
from operator import itemgetter
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

__all__ = ["RowChunks"]

Rows = NDArray[np.integer[Any]]
Run = tuple[int, int, int, int]
"""Rows that follow each other in a chunk: which, where they begin and end in what is read, and the
place of the first in the chunk."""

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BYTES = ({"name": "bytes"}, {"name": "bytes", "configuration": {}})  # of one byte: no order to name
CHECKSUM = "crc32c"
CHECKSUM_BYTES = 4
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

    def read(self, rows: Rows | None = None) -> NDArray[Any]:
        """Read rows, ``(n, ...)`` in the array's dtype; checksums are not looked at.

        Args:
            rows: ``(n,)`` which, best in ascending order; None for all.

        Raises:
            ValueError: a chunk is missing or too short.
        """
        tiles = self.shape[0] if rows is None else len(rows)
        values = np.empty((tiles, *self.shape[1:]), self.dtype)
        if values.size:
            self._fill(values.data.cast("B"), self._whole() if rows is None else self._runs(rows))
        return values

    def verify(self) -> None:
        """Compare every chunk with its checksum.

        Raises:
            ValueError: a chunk is missing, too short, or not what was written.
        """
        body = self.chunk_rows * self._row_bytes
        for chunk in range(-(-self.shape[0] // self.chunk_rows)):
            file = Path(f"{self._folder}/{chunk}{self._corner}")
            content = file.read_bytes() if file.is_file() else b""
            checksum = google_crc32c.value(content[:body]).to_bytes(CHECKSUM_BYTES, "little")
            if content[body:] != (checksum if self.checked else b"") or len(content) < body:
                raise _torn(chunk)

    def _fill(self, into: memoryview, runs: Iterable[Run]) -> None:
        """Copy run after run of rows; a chunk's file is opened once for those that follow."""
        folder = _opened(self._folder, 0)
        try:
            for chunk, parts in groupby(runs, itemgetter(0)):
                self._fill_from(chunk, folder, into, parts)
        finally:
            os.close(folder)

    def _fill_from(self, chunk: int, folder: int, into: memoryview, runs: Iterable[Run]) -> None:
        size, file = self._row_bytes, _opened(f"{chunk}{self._corner}", chunk, folder)
        try:
            for _, begin, end, place in runs:
                part = into[begin * size : end * size]
                done = os.preadv(file, [part], place * size)
                while done < len(part):  # one call gives two gigabytes at most
                    more = os.preadv(file, [part[done:]], place * size + done)
                    if not more:
                        raise _torn(chunk)
                    done += more
        finally:
            os.close(file)

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


def _opened(name: str, chunk: int, folder: int | None = None) -> int:
    try:
        return os.open(name, os.O_RDONLY, dir_fd=folder)
    except FileNotFoundError:
        raise _torn(chunk) from None


def _torn(chunk: int) -> ValueError:
    return ValueError(f"its chunk {chunk} is missing or cut short, or not what was written")
