"""What became of slides, or would, said to a person in a line each."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from wsi_tools.cli import terminal

Row = Mapping[str, Any]


class Account:
    """Tells each slide as it ends, and the sum of them at the end."""

    def __init__(self) -> None:
        self._tiles = 0
        self._seconds: Counter[str] = Counter()
        self._missing: set[str] = set()

    def tell(self, row: Row) -> None:
        """Say on stderr what became of a slide."""
        name = row["slide_id"]
        for warning in row.get("warnings", ()):
            terminal.warn(f"{name}: {warning}")
        if row["tissue_mm2"] == 0:
            terminal.warn(f"{name}: no tissue was found; its grid is empty")
        for message in row.get("missing", ()):
            self._warn_once(message)
        if "stages" in row:
            terminal.say(f"{name}: {', '.join(_remarks(row))}")
            self._tiles += row["embedded"]
            self._seconds.update(row["seconds"])

    def close(self) -> None:
        """Say how fast tiles were embedded, and where the time went."""
        if self._tiles:
            spent = ", ".join(f"{name} {value:.1f} s" for name, value in self._seconds.items())
            rate = _rate(self._tiles, self._seconds)
            terminal.say(f"{self._tiles} tiles embedded at {rate:.1f} tiles/s ({spent})")

    def _warn_once(self, message: str) -> None:
        if message not in self._missing:
            self._missing.add(message)
            terminal.warn(message)


def foreseen(row: Row) -> str:
    """What a dry run found out about a slide."""
    return f"{row['slide_id']}: {', '.join(_prospects(row))}"


def _remarks(row: Row) -> Iterator[str]:
    yield "done" if row["stages"] else "already done"
    yield f"{row['tissue_mm2']:g} mm² of tissue"
    if row["tiles"] is not None:
        yield f"{row['tiles_with_tissue']} of {row['tiles']} tiles with enough of it"
    if row["unread"]:
        yield f"{row['unread']} could not be read"
    if row["embedded"]:
        rate = _rate(row["embedded"], row["seconds"])
        yield f"{row['embedded']} embedded at {rate:.1f} tiles/s"


def _prospects(row: Row) -> Iterator[str]:
    if row["there"]:
        yield f"has {' '.join(row['there'])}"
    yield f"{row['tissue_mm2']:g} mm² of tissue"
    if row["tiles"] is not None:
        yield f"{row['tiles_with_tissue']} of {row['tiles']} tiles with enough of it"
        yield f"read from level {row['level']}, {'resampled' if row['resampled'] else 'as it is'}"
    if row["bytes"] is not None:
        yield f"{row['bytes']} bytes of features"


def _rate(tiles: int, seconds: Mapping[str, float]) -> float:
    """Tiles per second of a worker."""
    return tiles / max(1e-9, seconds["elapsed"])
