"""Whether a store is whole: every byte of it is covered by a checksum."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr

from wsi_tools.errors import StoreError
from wsi_tools.store.layout import metadata_digests, read_root, root_file


def torn(store: Path) -> tuple[str, ...]:
    """Name what is damaged in a store, a line each; empty where every byte is as it was written.

    Chunks are read one at a time. A store that is being written may lack what is being changed.
    """
    try:
        return (*_torn_root(store), *_torn_metadata(store)) or tuple(_torn_chunks(store))
    except StoreError as error:
        return (str(error),)


def _torn_root(store: Path) -> Iterator[str]:
    if root_file(read_root(store)) != (store / "zarr.json").read_bytes():
        yield "zarr.json: changed since it was written"


def _torn_metadata(store: Path) -> Iterator[str]:
    listed, found = read_root(store).get("manifest", {}), dict(metadata_digests(store))
    for path in sorted(listed.keys() | found.keys()):
        if path not in found:
            yield f"{path}: missing"
        elif listed.get(path) != found[path]:
            yield f"{path}: changed since it was written"


def _torn_chunks(store: Path) -> Iterator[str]:
    for path, _ in metadata_digests(store):
        node = zarr.open(store / Path(path).parent, mode="r")
        if isinstance(node, zarr.Array):
            yield from (f"{Path(path).parent}: {reason}" for reason in _damages(node))


def _damages(array: zarr.Array[Any]) -> Iterator[str]:
    if missing := array.nchunks - array.nchunks_initialized:
        yield f"{missing} chunks missing"
    for start in range(0, array.shape[0], array.chunks[0]):
        try:
            array[start : start + array.chunks[0]]
        except ValueError as error:
            yield f"rows from {start}: {error}"
