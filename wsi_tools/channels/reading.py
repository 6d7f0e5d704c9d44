"""Panels as tables: the columns of MCMICRO's `markers.csv`, and a few of our own."""

import csv
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wsi_tools.channels.panel import Marker, Panel, faults, is_nuclear, key_of
from wsi_tools.errors import DataError

__all__ = ["read_panel"]

OURS = (
    "marker_name",
    "channel_index",
    "alias",
    "role",
    "background",
    "background_scale",
    "exposure",
    "remove",
    "min",
    "max",
)
TRUE = frozenset({"true", "t", "yes", "y", "1"})

Cells = Mapping[str, str]


def read_panel(path: Path) -> Panel:
    """Read a panel from a CSV file, or a TSV; its rows are the order of the store.

    `marker_name` is required. `background`, `exposure` (ms) and `remove` mean what they mean in
    MCMICRO, whose other columns are passed over; `channel_index` (from 0), `alias` (several apart
    by ``;``), `role`, `background_scale`, `min` and `max` are ours. A row without a role is
    "background" where another row subtracts it, "ignore" where it is to be removed, "nuclear"
    where its name is a well-known one, else "marker".

    Raises:
        DataError: the file cannot be read, or a row is wrong; the line is named.
    """
    rows = list(_rows(path))
    subtracted = {key_of(cells["background"]) for _, cells in rows if cells["background"]}
    markers = tuple(_marker(path, line, cells, subtracted) for line, cells in rows)
    for place, fault in faults(markers):
        line = rows[place][0] if rows else 1
        raise DataError(f"{path.name} line {line}: {fault}")
    return Panel(markers, re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-."))


def _rows(path: Path) -> Iterator[tuple[int, Cells]]:
    """Give (line, cells) of each row; a column that is not there is empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
            header = [cell.strip().casefold() for cell in next(table, [])]
            _refuse_header(path, header)
            for cells in table:
                if any(cell.strip() for cell in cells):
                    yield table.line_num, _cells(path, table.line_num, header, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a panel as CSV") from error


def _refuse_header(path: Path, header: Sequence[str]) -> None:
    for name in header:
        if name not in OURS and (meant := difflib.get_close_matches(name, OURS, 1, 0.85)):
            raise DataError(f"{path.name} line 1: no column {name!r}; did you mean {meant[0]!r}?")
    if "marker_name" not in header:
        raise DataError(f"{path.name} line 1: no column marker_name; give one row per marker")
    if twice := [name for name in OURS if header.count(name) > 1]:
        raise DataError(f"{path.name} line 1: column {twice[0]} is there twice; take one out")


def _cells(path: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> Cells:
    if len(cells) > len(header):
        raise DataError(f"{path.name} line {line}: {len(cells)} cells under {len(header)} columns")
    row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
    return {name: row.get(name, "") for name in OURS}


def _marker(path: Path, line: int, cells: Cells, subtracted: set[str]) -> Marker:
    try:
        return Marker(
            name=cells["marker_name"],
            aliases=tuple(part.strip() for part in cells["alias"].split(";") if part.strip()),
            role=cells["role"].casefold() or _role(cells, subtracted),
            channel_index=int(cells["channel_index"]) if cells["channel_index"] else None,
            background=cells["background"] or None,
            background_scale=_number(cells["background_scale"]),
            low=_number(cells["min"]),
            high=_number(cells["max"]),
            exposure_ms=_number(cells["exposure"]),
        )
    except ValueError as error:
        raise DataError(f"{path.name} line {line}: {error}; correct the number") from error


def _number(text: str) -> float | None:
    return float(text) if text else None


def _role(cells: Cells, subtracted: set[str]) -> str:
    aliases = (key_of(part) for part in cells["alias"].split(";"))
    if subtracted & {key_of(cells["marker_name"]), *aliases}:
        return "background"
    if cells["remove"].casefold() in TRUE:
        return "ignore"
    return "nuclear" if is_nuclear(cells["marker_name"]) else "marker"
