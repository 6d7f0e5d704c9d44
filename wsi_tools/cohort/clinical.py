"""Clinical tables: columns as numbers, with everything that is fitted fitted on given rows only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wsi_tools.cohort.tables import Cells, number
from wsi_tools.errors import DataError, InputError

__all__ = ["Categories", "ClinicalTable", "Numbers", "Scaler", "clinical_table"]


@dataclass(frozen=True)
class ClinicalTable:
    """Columns that a model reads together as one token."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: becomes (x - mean) / std; a missing one the mean, which is 0."""

    column: str
    mean: float
    std: float

    def encode(self, text: str | None) -> Iterator[float]:
        """The one value of a cell.

        Raises:
            ValueError: the cell is no number.
        """
        yield 0.0 if text is None else (number(text) - self.mean) / self.std


@dataclass(frozen=True)
class Categories:
    """A column of names: becomes a 1 among zeros; all are 0 for a missing or an unseen name."""

    column: str
    names: tuple[str, ...]

    def encode(self, text: str | None) -> Iterator[float]:
        """A value per name."""
        yield from (float(text == name) for name in self.names)


@dataclass(frozen=True)
class Scaler:
    """How the cells of one table become numbers; it can be kept as JSON.

    Attributes:
        table: the table's name.
        columns: how each column is encoded.
    """

    table: str
    columns: tuple[Numbers | Categories, ...]

    @classmethod
    def fit(cls, table: ClinicalTable, rows: Sequence[Cells]) -> "Scaler":
        """Fit on the rows of a training fold; a column where all present cells are numbers is one.

        Raises:
            InputError: a column is not there.
            DataError: a column is empty in all rows.
        """
        return cls(table.name, tuple(_fitted(column, rows) for column in table.columns))

    @property
    def width(self) -> int:
        """How many values a row becomes."""
        return len(self.encode({column.column: None for column in self.columns}))

    def encode(self, cells: Cells) -> tuple[float, ...]:
        """The values of a row.

        Raises:
            InputError: a column is not there.
            DataError: a cell is no number in a column of numbers.
        """
        return tuple(value for column in self.columns for value in _encoded(column, cells))

    def as_json(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Scaler":
        """The scaler again.

        Raises:
            DataError: this is no scaler.
        """
        try:
            return TypeAdapter(cls).validate_python(dict(data))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DataError(f"the scaler of a clinical table is damaged at {where!r}") from None


def clinical_table(text: str) -> ClinicalTable:
    """Read ``NAME=col,col``.

    Raises:
        InputError: it is not of that form.
    """
    name, _, columns = text.partition("=")
    listed = tuple(column.strip() for column in columns.split(","))
    if not (name and all(listed)):
        raise InputError(f"--table {text}: give NAME=col,col")
    return ClinicalTable(name, listed)


def _fitted(column: str, rows: Sequence[Cells]) -> Numbers | Categories:
    if rows and column not in rows[0]:
        known = ", ".join(name for name in list(rows[0])[:20] if name)
        raise InputError(f"no column {column!r} in the cohort; it has {known}")
    present = [cell for row in rows if (cell := row[column]) is not None]
    if not present:
        raise DataError(f"column {column!r} is empty in the whole training fold; leave it out")
    try:
        values = [number(cell) for cell in present]
    except ValueError:
        return Categories(column, tuple(sorted(set(present))))
    return Numbers(column, fmean(values), pstdev(values) or 1.0)


def _encoded(column: Numbers | Categories, cells: Cells) -> Iterator[float]:
    if column.column not in cells:
        raise InputError(
            f"no column {column.column!r} in the cohort, and the model was trained on it; name the "
            "table that has it with --cohort"
        )
    text = cells[column.column]
    try:
        yield from column.encode(text)
    except ValueError:
        raise DataError(
            f"column {column.column!r}: {text!r} is no number, as in the training fold"
        ) from None
