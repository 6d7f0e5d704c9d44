"""A split as a table: which slide plays which role in which fold."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_tools.cohort.tables import Table, read_table
from wsi_tools.errors import DataError, UnavailableError
from wsi_tools.store.files import write_atomically

__all__ = ["ROLES", "Assignment", "Splits", "read_splits", "write_splits"]

ROLES = ("train", "val", "test")
COLUMNS = ("fold", "role", "slide_id", "patient_id")
REPEAT = "repeat"


@dataclass(frozen=True, order=True)
class Assignment:
    """One slide's role in one fold; repeats and folds count from 0."""

    repeat: int
    fold: int
    role: str
    slide_id: str
    patient_id: str

    @property
    def place(self) -> tuple[int, int]:
        """Repeat and fold."""
        return self.repeat, self.fold


@dataclass(frozen=True)
class Splits:
    """All folds of all repeats."""

    assignments: tuple[Assignment, ...]

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Every (repeat, fold), in order."""
        return tuple(sorted({each.place for each in self.assignments}))

    @property
    def repeats(self) -> int:
        """How often the whole cohort was divided."""
        return len({each.repeat for each in self.assignments})

    def only(self, slide_ids: Collection[str]) -> "Splits":
        """The split without any other slides."""
        return Splits(tuple(each for each in self.assignments if each.slide_id in slide_ids))

    def slides(self, fold: int, role: str, repeat: int = 0) -> tuple[str, ...]:
        """The slides of a role, in the order of the table."""
        wanted = (repeat, fold, role)
        return tuple(
            each.slide_id
            for each in self.assignments
            if (each.repeat, each.fold, each.role) == wanted
        )

    def csv(self) -> str:
        """The table ``fold,role,slide_id,patient_id``; with several repeats, ``repeat`` last."""
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        repeated = self.repeats > 1
        table.writerow((*COLUMNS, REPEAT) if repeated else COLUMNS)
        for each in self.assignments:
            row = (each.fold, each.role, each.slide_id, each.patient_id)
            table.writerow((*row, each.repeat) if repeated else row)
        return text.getvalue()


def read_splits(path: Path) -> Splits:
    """Read what `Splits.csv` wrote.

    Raises:
        DataError: it cannot be read, or a row is no assignment.
        InputError: a column is missing.
    """
    table = read_table(path)
    table.require(COLUMNS)
    return Splits(tuple(_assignments(table)))


def write_splits(path: Path, splits: Splits, *, overwrite: bool = False) -> None:
    """Write the table in one step; leave it alone where the same one is there.

    Raises:
        DataError: another split is there, and not to be overwritten.
        UnavailableError: it cannot be written.
    """
    content = splits.csv().encode()
    try:
        there = path.read_bytes() if path.exists() else None
        if there not in (None, content) and not overwrite:
            raise DataError(
                f"{path}: another split is there; choose another name, or add --overwrite"
            )
        if there != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from None


def ordered(assignments: Iterable[Assignment], slides: Sequence[str]) -> Splits:
    """Assignments by repeat, fold, role and the order of the cohort's slides."""
    place: Mapping[str, int] = {slide: number for number, slide in enumerate(slides)}

    def key(each: Assignment) -> tuple[int, int, int, int]:
        return each.repeat, each.fold, ROLES.index(each.role), place[each.slide_id]

    return Splits(tuple(sorted(assignments, key=key)))


def _assignments(table: Table) -> Iterator[Assignment]:
    for row in table.rows:
        texts = [row.cells[column] or "" for column in COLUMNS]
        fold, role, slide, patient = texts
        repeat = row.cells.get(REPEAT) or "0"
        if role not in ROLES or not (fold.isdecimal() and repeat.isdecimal() and slide and patient):
            raise DataError(
                f"{table.source}: line {row.line}: not a fold from 0, a role of "
                f"{', '.join(ROLES)}, a slide and its patient: {','.join(texts)}"
            )
        yield Assignment(int(repeat), int(fold), role, slide, patient)
