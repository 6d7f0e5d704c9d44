"""What was asked for, as plain data: its fingerprint, and how two requests differ."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wsi_tools.errors import StoreError

Request = Mapping[str, Any]


def json_ready(values: Request) -> dict[str, Any]:
    """The values as they come back from JSON: tuples are lists.

    Raises:
        ValueError: NaN or infinity, which JSON has not.
    """
    ready: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return ready


def fingerprint(request: Request) -> str:
    """The sha256 of the request's canonical JSON (sorted keys, no spaces, shortest floats)."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def signed(request: Request, values: Request) -> dict[str, Any]:
    """The attributes of what a request has made: the values, the request, its fingerprint."""
    made = {**values, "request": request, "fingerprint": fingerprint(request)}
    return json_ready(made)


def difference(asked: Request, found: Request) -> str:
    """Name what two requests disagree on, as ``name: asked, found``; empty where they agree."""
    wanted, there = dict(_leaves(json_ready(asked))), dict(_leaves(json_ready(found)))
    names = sorted(
        name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)
    )
    return "; ".join(
        f"{name}: {_shown(wanted, name)} asked, {_shown(there, name)} there" for name in names
    )


def differs(asked: Request, found: Request, store: Path, what: str, *, overwrite: bool) -> bool:
    """Whether what a store has, such as "the tissue", was made by another request.

    Raises:
        StoreError: it was, and nobody allowed to overwrite it.
    """
    changed = difference(asked, found)
    if changed and not overwrite:
        raise StoreError(
            f"{store}: another request made {what} there ({changed}); "
            "choose another output, or add --overwrite"
        )
    return bool(changed)


def _leaves(request: Request, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in request.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(leaves: Mapping[str, Any], name: str) -> str:
    text = json.dumps(leaves[name]) if name in leaves else "nothing"
    return text if len(text) <= 40 else f"{text[:37]}..."
