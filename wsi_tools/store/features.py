"""Features as they grow: chunk by chunk, resumed where they were left, visible when complete."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_tools.errors import DataError, StoreError
from wsi_tools.store import arrays
from wsi_tools.store.layout import CHUNK_ROWS
from wsi_tools.store.records import made_by
from wsi_tools.store.requests import Request, difference, fingerprint

if TYPE_CHECKING:
    from wsi_tools.store.writing import StoreWriter


class FeatureWriter:
    """One growing set of features on a grid.

    Its folder carries the lease's token: whoever takes the slide over renames it, and a writer
    that wakes up too late finds nothing to write to.
    """

    def __init__(self, writer: "StoreWriter", key: str, name: str, request: Request) -> None:
        self.writer = writer
        self.request = request
        self.grid = writer.path / "grids" / key
        self.place = self.grid / "features" / name
        self.part = self.place.with_name(f".{name}.{writer.lease.token}.part")

    def open(self, shape: tuple[int, ...], dtype: str) -> int:
        """Make the array, or adopt what an earlier run left; give the rows that are done.

        Raises:
            StoreError: what was left was begun by another request.
        """
        left = sorted(self.place.parent.glob(f".{self.place.name}.*.part"))
        if left and not self._adopt(left[0]):
            shutil.rmtree(left[0])
            left = []
        if not left:
            group = zarr.open_group(self.grid, mode="r+").require_group("features")
            array = arrays.create(
                group, self.part.name, shape=shape, dtype=dtype, chunk_rows=CHUNK_ROWS
            )
            array.attrs.update({"request": dict(self.request)})
        return self._committed_rows(shape[0])

    def append(self, start: int, rows: NDArray[Any]) -> None:
        """Commit one chunk of rows that starts at a multiple of the chunk's height.

        Raises:
            DataError: a value is not finite, or does not fit the dtype.
            BusyError: another worker took the slide over.
        """
        array = self._array()
        with np.errstate(over="ignore"):  # an overflow is found, and named, on the next line
            stored = rows.astype(array.dtype)
        self._refuse_non_finite(rows, stored, start)
        self.writer.lease.check()
        array[start : start + len(rows)] = stored

    def commit(self, attributes: Mapping[str, Any]) -> None:
        """Make the complete features visible, with what made them."""
        made = made_by(self.writer.command)
        self._array().attrs.update(
            {**attributes, "fingerprint": fingerprint(self.request), "made_by": made}
        )
        self.writer.put_in_place(self.part, self.place)
        self.writer.publish()

    def mark_invalid(self, rows: NDArray[np.integer[Any]]) -> None:
        """Remember the tiles whose pixels could not be read; their features are zeros."""
        if len(rows):
            self.writer.lease.check()
            valid = zarr.open_array(self.grid / "valid", mode="r+")
            values = np.array(valid[...])
            values[rows] = 0
            valid[...] = values

    def abandon(self) -> None:
        """Drop what is half-written; tiles that no finished features call unreadable are valid."""
        self.writer.lease.check()
        shutil.rmtree(self.part, ignore_errors=True)
        if not self.writer.store.feature_names(self.grid.name):
            valid = zarr.open_array(self.grid / "valid", mode="r+")
            valid[...] = np.ones(valid.shape, valid.dtype)

    def _adopt(self, left: Path) -> bool:
        """Take over what an earlier run left; False where it must be begun again."""
        try:
            begun: Any = zarr.open_array(left, mode="r").attrs["request"]
        except (FileNotFoundError, KeyError, ValueError):
            return False
        if changed := difference(self.request, begun):
            if not self.writer.overwrite:
                raise StoreError(
                    f"{self.writer.path}: half-written features {self.place.name} were begun by "
                    f"another request ({changed}); finish that one, or add --overwrite"
                )
            return False
        left.rename(self.part)
        return True

    def _committed_rows(self, total: int) -> int:
        """Chunks are written in order, each in one atomic step: count those in a row."""
        done = 0
        while done * CHUNK_ROWS < total and _is_there(self.part / "c" / str(done)):
            done += 1
        return min(total, done * CHUNK_ROWS)

    def _array(self) -> zarr.Array[Any]:
        return zarr.open_array(self.part, mode="r+", config={"write_empty_chunks": True})

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


def _is_there(row_of_chunks: Path) -> bool:
    """Whether the one chunk of these rows is there, in its final name."""
    return any(path.name == "0" and path.is_file() for path in row_of_chunks.rglob("0"))
