"""Arrays on disk: chunks of whole rows, each with its crc32c; only pictures are compressed."""

from typing import Any

import zarr
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from wsi_tools.store.layout import INDEX_CHUNK_ROWS

Codecs = tuple[BytesBytesCodec, ...]

CHECKED: Codecs = (Crc32cCodec(),)
PACKED: Codecs = (ZstdCodec(), Crc32cCodec())  # pictures shrink to a fraction, features by a tenth


def create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    chunk_rows: int = INDEX_CHUNK_ROWS,
    codecs: Codecs = CHECKED,
) -> zarr.Array[Any]:
    """Make an empty array whose chunks are whole rows, written even where they hold only zeros."""
    return group.create_array(
        name,
        shape=shape,
        chunks=(max(1, min(chunk_rows, shape[0])), *shape[1:]),
        dtype=dtype,
        compressors=codecs,
        config={"write_empty_chunks": True},
    )


def write(group: zarr.Group, name: str, values: NDArray[Any], *, codecs: Codecs = CHECKED) -> None:
    """Make an array and fill it."""
    array = create(group, name, shape=values.shape, dtype=values.dtype.name, codecs=codecs)
    array[...] = values


def reopen(files: LocalStore) -> zarr.Array[Any]:
    """Open an array to write more of it, zeros too (what Zarr forgets of an array it made)."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(files, mode="r+")
