"""Slide identifiers: one safe path component per slide, readable, and unique in a project.

A slide is called by its stem. Where stems collide, by the shortest end of its path that does not,
with its extension, as a slug: `vendors-cmu1-svs`. Where even the slugs of whole paths are the same
("a-b/c" and "a/b-c"), by that and a few digits of the path's hash. Identifiers become file names on
every system, so two that differ in case alone collide as well.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

__all__ = ["is_safe_id", "slide_ids", "stem"]

DOUBLE_SUFFIX = re.compile(r"\.ome\.(tiff?|btf|zarr)$", re.IGNORECASE)
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?"<>|#]+')  # '#' is for scenes
MAX_ID_BYTES = 160  # a file system takes 255, and stores and their parts add endings
HASH_DIGITS = 8


def stem(path: Path) -> str:
    """The file's name without its suffix; `.ome.tiff` is one suffix."""
    return DOUBLE_SUFFIX.sub("", path.name) if DOUBLE_SUFFIX.search(path.name) else path.stem


def is_safe_id(text: str) -> bool:
    """Whether the text may be a slide's identifier as it stands."""
    return text == _safe(text)


def slide_ids(paths: Sequence[Path]) -> dict[Path, str | None]:
    """Name every slide; None where only the case of the path tells it from another.

    Args:
        paths: distinct absolute paths.
    """
    names: dict[Path, str | None] = {path: _safe(stem(path)) for path in paths}
    deepest = max((len(path.parts) for path in paths), default=0)
    for parts in range(2, deepest + 1):
        for path in _colliding(names):
            names[path] = _safe("-".join(path.parts[-parts:]).replace(".", "-"))
    for path in _colliding(names):
        names[path] = _marked(names[path] or "", "/".join(path.parts))
    return names | dict.fromkeys(_same_but_for_case(paths))


def _colliding(names: dict[Path, str | None]) -> list[Path]:
    count = Counter(name.casefold() for name in names.values() if name)
    return [path for path, name in names.items() if name and count[name.casefold()] > 1]


def _same_but_for_case(paths: Sequence[Path]) -> list[Path]:
    count = Counter(str(path).casefold() for path in paths)
    return [path for path in paths if count[str(path).casefold()] > 1]


def _safe(text: str) -> str:
    name = UNSAFE.sub("-", text).strip(" .-") or "slide"
    return name if len(name.encode()) <= MAX_ID_BYTES else _marked(name, name)


def _marked(name: str, meaning: str) -> str:
    """The name, cut where it is too long, with a few digits of its meaning's hash."""
    digest = hashlib.sha256(meaning.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]
    head = name.encode()[: MAX_ID_BYTES - HASH_DIGITS - 1].decode(errors="ignore")
    return f"{head}-{digest}"
