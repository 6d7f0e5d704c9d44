"""The layout on disk: names, the root record, and the digests of what carries no checksum.

    <slide_id>.zarr/          zarr.json holds attributes["wsitools"]: the root record
      tissue/                 mask, thumbnail
      grids/<key>/            coords, grid_index, tissue, valid
        features/<name>       (N, D) or (N, M, D)

What starts with a dot is being changed (`wsi_tools.store.files`). Chunks carry a crc32c; the root
record carries the sha256 of every other ``zarr.json`` and of itself, so that a changed byte
anywhere can be found (`wsi_tools.store.integrity`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wsi_tools.errors import StoreError
from wsi_tools.store.requests import fingerprint

FORMAT = 1
SUFFIX = ".zarr"
CHUNK_ROWS = 1024  # 2 MiB of 1024 float16 values: what a resumed run may lose, and one read
INDEX_CHUNK_ROWS = 65_536  # coords, index and fractions are small: one file for almost any slide

JSON = Mapping[str, Any]


def is_store(path: Path) -> bool:
    """Whether the folder looks like a store (by name and root file; nothing is read)."""
    return path.suffix == SUFFIX and (path / "zarr.json").is_file()


def read_root(store: Path) -> dict[str, Any]:
    """Read the root record of a store, without Zarr.

    Raises:
        StoreError: no store there, a torn or foreign root, or a later format.
    """
    try:
        root = json.loads((store / "zarr.json").read_text())["attributes"]["wsitools"]
    except FileNotFoundError:
        raise StoreError(f"{store}: no store there; make it with wsitools tile or run") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(
            f"{store}: its zarr.json is torn or not ours; delete it and run again"
        ) from None
    if not isinstance(root, dict) or root.get("format") != FORMAT:
        found = root.get("format") if isinstance(root, dict) else root
        raise StoreError(f"{store}: format {found!r}; this version of wsitools reads {FORMAT}")
    return root


def sealed_root(store: Path, record: JSON) -> bytes:
    """The root file that holds this record, with the digests of everything below it."""
    return root_file({**record, "manifest": dict(metadata_digests(store))})


def root_file(record: JSON) -> bytes:
    """The root file that holds this record and the digest of it."""
    unsealed = {name: value for name, value in record.items() if name != "digest"}
    sealed = {**unsealed, "digest": fingerprint(unsealed)}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"wsitools": sealed}}
    return json.dumps(group, indent=1, allow_nan=False).encode()


def metadata_digests(store: Path) -> Iterator[tuple[str, str]]:
    """The sha256 of every visible ``zarr.json`` below the root, by its path in the store."""
    for path in sorted(visible_metadata(store)):
        yield path.relative_to(store).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()


def visible_metadata(store: Path) -> Iterator[Path]:
    """Every ``zarr.json`` below the root that is not part of something half-written."""
    for path in store.glob("*/**/zarr.json"):
        if not any(part.startswith(".") for part in path.relative_to(store).parts):
            yield path
