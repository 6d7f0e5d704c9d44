"""Tables that users bring, CSV first, as rows of text that remember their line."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from wsi_tools.errors import DataError, InputError, UnavailableError

__all__ = ["MISSING", "Cells", "Row", "Table", "number", "read_table"]

Cells = Mapping[str, str | None]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "'--"})  # the last is the GDC's
DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
FRAMES = {".xlsx": "read_excel", ".parquet": "read_parquet"}


@dataclass(frozen=True)
class Row:
    """One row: its line in the file, and its cells by column; a missing value is None."""

    line: int
    cells: Cells


@dataclass(frozen=True)
class Table:
    """A table as it was read; `source` is the file's name, for messages."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, columns: Iterable[str]) -> None:
        """Make sure that these columns are there.

        Raises:
            InputError: one is not; the message names those that are.
        """
        for name in columns:
            if name not in self.columns:
                known = ", ".join(column for column in self.columns[:20] if column)
                more = ", …" if len(self.columns) > 20 else ""
                raise InputError(f"{self.source}: no column {name!r}; it has {known}{more}")


def read_table(path: Path) -> Table:
    """Read a table: ``.csv``, ``.tsv``; ``.xlsx`` and ``.parquet`` with the extra `tables`.

    Raises:
        DataError: it cannot be read, has no rows, or a row or the header does not fit.
        UnavailableError: the extra is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in DELIMITERS and suffix not in FRAMES:
        known = ", ".join((*DELIMITERS, *FRAMES))
        raise DataError(f"{path.name}: not a table that is known here; give one of {known}")
    lines = _read_frame(path) if suffix in FRAMES else _read_text(path, DELIMITERS[suffix])
    header, *records = lines or [(1, [])]
    columns = tuple((cell or "").strip() for cell in header[1])
    _refuse_duplicates(path.name, columns)
    rows = tuple(_row(path.name, columns, line, cells) for line, cells in records)
    if not rows:
        raise DataError(f"{path.name}: has no rows; give it one per slide")
    return Table(path.name, columns, rows)


def number(text: str) -> float:
    """A finite number.

    Raises:
        ValueError: it is none.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no finite number")
    return value


Line = tuple[int, Sequence[str | None]]


def _read_text(path: Path, delimiter: str) -> list[Line]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.reader(stream, delimiter=delimiter, strict=True)
            return [(lines.line_num, cells) for cells in lines if any(cells)]
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: is not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path.name}: cannot be read as a table: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a table") from None


def _read_frame(path: Path) -> list[Line]:
    try:
        import pandas

        options = {"dtype": str} if path.suffix.lower() == ".xlsx" else {}
        frame = getattr(pandas, FRAMES[path.suffix.lower()])(path, **options)
    except ImportError as error:
        raise UnavailableError(
            f"{path.name}: {error.name or 'a package'} is missing; pip install 'wsitools[tables]'"
        ) from None
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path.name}: cannot be read as a table: {error}") from None
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    header: list[Line] = [(1, [str(name) for name in frame.columns])]
    return header + [(line, [_text(cell) for cell in row]) for line, row in enumerate(values, 2)]


def _text(cell: Any) -> str | None:
    """A typed cell as a CSV file would have it; a whole number has no point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return None if cell is None else str(cell)


def _row(source: str, columns: Sequence[str], line: int, cells: Sequence[str | None]) -> Row:
    if len(cells) != len(columns):
        raise DataError(
            f"{source}: line {line}: {len(cells)} cells for {len(columns)} columns; "
            "quote what holds a comma"
        )
    return Row(line, dict(_present(columns, cells)))


def _present(
    columns: Sequence[str], cells: Sequence[str | None]
) -> Iterator[tuple[str, str | None]]:
    for column, cell in zip(columns, cells, strict=True):
        text = (cell or "").strip()
        yield column, None if text.lower() in MISSING else text


def _refuse_duplicates(source: str, columns: Sequence[str]) -> None:
    named = [column for column in columns if column]
    if twice := sorted({column for column in named if named.count(column) > 1}):
        raise DataError(f"{source}: two columns are called {twice[0]!r}; rename one")
