"""Features as they grow: chunk by chunk, resumed where they were left, visible when complete."""

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import NodeNotFoundError

from wsi_tools.errors import DataError, StoreError
from wsi_tools.store import arrays
from wsi_tools.store.files import discard, left_beside
from wsi_tools.store.layout import CHUNK_ROWS
from wsi_tools.store.records import made_by
from wsi_tools.store.requests import Request, difference, json_ready, signed

if TYPE_CHECKING:
    from wsi_tools.store.writing import StoreWriter


class FeatureWriter:
    """One growing set of features on a grid.

    Its folder carries the lease's token: whoever takes the slide over renames it, and a writer
    that wakes up too late finds nothing to write to.
    """

    def __init__(self, writer: "StoreWriter", key: str, name: str, request: Request) -> None:
        self.writer = writer
        self.folder = writer.folder
        self.request = request
        self.grid = writer.path / "grids" / key
        self.place = self.grid / "features" / name
        self.part = self.folder.part(self.place)

    def open(self, shape: tuple[int, ...], dtype: str) -> int:
        """Make the array, or adopt what an earlier run left; give the rows that are done.

        Raises:
            StoreError: what was left was begun by another request.
        """
        left = [path for path in left_beside(self.place, "part") if not self._adopt(path)]
        self.folder.lease.check()
        for path in left:
            discard(path)
        if not self.part.exists():
            group = zarr.open_group(self.folder.zarr(self.place.parent), mode="r+")
            array = arrays.create(
                group, self.part.name, shape=shape, dtype=dtype, chunk_rows=CHUNK_ROWS
            )
            array.attrs["request"] = json_ready(self.request)
        return self._committed_rows()

    def append(self, start: int, rows: NDArray[Any]) -> None:
        """Commit one chunk of rows that starts at a multiple of the chunk's height.

        Raises:
            DataError: a value is not finite, or does not fit the dtype.
            BusyError: another worker took the slide over.
        """
        array = self._array()
        if start % CHUNK_ROWS or len(rows) != min(CHUNK_ROWS, array.shape[0] - start):
            raise ValueError(f"rows {start} to {start + len(rows)} are not one chunk")
        with np.errstate(over="ignore"):  # an overflow is found, and named, on the next line
            stored = rows.astype(array.dtype)
        self._refuse_non_finite(rows, stored, start)
        array[start : start + len(rows)] = stored

    def commit(self, attributes: Mapping[str, Any]) -> None:
        """Make the complete features visible, with what made them.

        Raises:
            StoreError: rows are missing.
        """
        array, done = self._array(), self._committed_rows()
        if done < array.shape[0]:
            raise StoreError(f"{self.writer.path}: {self.place.name} ends at tile {done}")
        made = {**attributes, "made_by": made_by(self.writer.command)}
        array.attrs.update(signed(self.request, made))
        with self.writer.changing():
            self.folder.put(self.part, self.place)

    def mark_invalid(self, rows: NDArray[np.integer[Any]]) -> None:
        """Remember the tiles whose pixels could not be read; their features are zeros."""
        if len(rows):
            valid = arrays.reopen(self.folder.zarr(self.grid / "valid"))
            values = np.array(valid[...])
            values[rows] = 0
            valid[...] = values

    def abandon(self) -> None:
        """Drop what is half-written; tiles that no other features call unreadable are valid."""
        self.folder.lease.check()
        discard(self.part)
        if not any(path.is_dir() for path in self.place.parent.iterdir()):
            valid = arrays.reopen(self.folder.zarr(self.grid / "valid"))
            valid[...] = np.ones(valid.shape, valid.dtype)

    def _adopt(self, left: Path) -> bool:
        """Take over what an earlier run left; False where it must be begun again."""
        try:
            begun: Any = zarr.open_array(left, mode="r").attrs["request"]
        except (FileNotFoundError, NodeNotFoundError, KeyError, ValueError):
            return False
        if changed := difference(self.request, begun):
            if not self.writer.overwrite:
                raise StoreError(
                    f"{self.writer.path}: half-written features {self.place.name} were begun by "
                    f"another request ({changed}); finish that one, or add --overwrite"
                )
            return False
        if self.part.exists():
            return left == self.part
        self.folder.lease.check()
        left.rename(self.part)
        return True

    def _committed_rows(self) -> int:
        """Chunks are written in order, each in one atomic step: count those in a row."""
        rows, *columns = self._array().shape
        corner = Path(*("0" for _ in columns))
        starts = range(0, rows, CHUNK_ROWS)
        chunks = (self.part / "c" / str(start // CHUNK_ROWS) / corner for start in starts)
        done = sum(1 for _ in takewhile(Path.is_file, chunks))
        return min(rows, done * CHUNK_ROWS)

    def _array(self) -> zarr.Array[Any]:
        return arrays.reopen(self.folder.zarr(self.part))

    def _refuse_non_finite(self, rows: NDArray[Any], stored: NDArray[Any], start: int) -> None:
        bad = np.flatnonzero(~np.isfinite(stored).reshape(len(stored), -1).all(axis=1))
        if not len(bad):
            return
        tile, name = start + int(bad[0]), self.place.name
        if np.isfinite(rows[bad[0]]).all():
            raise DataError(
                f"{self.writer.path.stem}: {name} of tile {tile} does not fit {stored.dtype}; "
                "embed it with --dtype float32"
            )
        raise DataError(
            f"{self.writer.path.stem}: {name} of tile {tile} is not finite; check the weights"
        )
