"""Arrays on disk: chunks of whole rows, each with its crc32c; only pictures are compressed."""

from typing import Any

import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from wsi_tools.store.layout import INDEX_CHUNK_ROWS
from wsi_tools.store.requests import Request, json_ready


def create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    chunk_rows: int,
    attributes: Request | None = None,
    packed: bool = False,
) -> zarr.Array[Any]:
    """Make an empty array whose chunks are whole rows, written even where they hold only zeros.

    Features stay uncompressed: Zstandard saves a tenth of them and doubles the time to read.
    """
    return group.create_array(
        name,
        shape=shape,
        chunks=(max(1, min(chunk_rows, shape[0])), *shape[1:]),
        dtype=dtype,
        compressors=[ZstdCodec(), Crc32cCodec()] if packed else [Crc32cCodec()],
        attributes=json_ready(attributes or {}),
        config={"write_empty_chunks": True},
    )


def write(group: zarr.Group, name: str, values: NDArray[Any], *, packed: bool = False) -> None:
    """Make an array and fill it; `packed` suits pictures, which shrink to a fraction."""
    array = create(
        group,
        name,
        shape=values.shape,
        dtype=values.dtype.name,
        chunk_rows=INDEX_CHUNK_ROWS,
        packed=packed,
    )
    array[...] = values


def reopen(files: LocalStore) -> zarr.Array[Any]:
    """Open an array to write more of it, zeros too (what Zarr forgets of an array it made)."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(files, mode="r+")
