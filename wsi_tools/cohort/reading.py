"""From one table, or one of patients and one of slides, to a cohort."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_tools.cohort.patients import Cohort, SlideRow
from wsi_tools.cohort.tables import Row, Table, read_table
from wsi_tools.cohort.targets import Target
from wsi_tools.errors import DataError, InputError
from wsi_tools.slide.discovery import SUFFIXES
from wsi_tools.slide.naming import is_safe_id, stem

__all__ = ["Columns", "patient_from", "read_cohort", "slide_name"]

# what stands behind a slide's name in tables; a dot in the name itself is none of these
FILE_SUFFIXES = {each for known in SUFFIXES.values() for each in known} | {".zarr", ".h5", ".pt"}


@dataclass(frozen=True)
class Columns:
    """Where names stand.

    Attributes:
        slide: column of slide names; a folder and a known suffix are taken off.
        patient: column of patients.
        patient_from: a regular expression that finds the patient in a slide's name, in the place
            of the column: its first group, or all of it.
    """

    slide: str = "slide_id"
    patient: str = "patient_id"
    patient_from: str | None = None


def read_cohort(
    path: Path,
    columns: Columns | None = None,
    *,
    target: Target | None = None,
    slides: Path | None = None,
    slide_labels: bool = False,
) -> Cohort:
    """Read a cohort.

    Args:
        path: a table with a row per slide, or with `slides` a row per patient.
        columns: where names stand.
        target: what is to be learnt; settled on the rows that have a slide.
        slides: a second table with a row per slide.
        slide_labels: let slides of one patient differ in their values.

    Raises:
        InputError: a column that is asked for is not there.
        DataError: a table cannot be read, contradicts itself or the other, or lacks a value.
    """
    columns = columns or Columns()
    table = read_table(path)
    rows = _rows(table, columns) if slides is None else _joined(table, read_table(slides), columns)
    cohort = Cohort(rows, source=table.source, slide_labels=slide_labels)
    return cohort if target is None else _with_values(cohort, target)


def slide_name(text: str) -> str:
    """A slide's name from what a table calls it: a name, a file or a path."""
    name = text.replace("\\", "/").rsplit("/", 1)[-1]
    return stem(Path(name)) if Path(name).suffix.lower() in FILE_SUFFIXES else name


def patient_from(pattern: str, slide_id: str) -> str:
    """The patient in a slide's name.

    Raises:
        InputError: the pattern is no regular expression.
        DataError: it finds nothing.
    """
    try:
        found = re.search(pattern, slide_id)
    except re.error as error:
        raise InputError(f"--patient-from {pattern}: {error}") from None
    name = found and (found.group(1) if found.re.groups else found.group())
    if not name:
        raise DataError(f"slide {slide_id}: --patient-from {pattern} finds no patient in its name")
    return name


def _rows(table: Table, columns: Columns) -> tuple[SlideRow, ...]:
    """The slides of a table, with their patients."""
    table.require([columns.slide])
    if columns.patient_from is None and columns.patient not in table.columns:
        known = ", ".join(name for name in table.columns[:20] if name)
        raise InputError(
            f"{table.source}: no column {columns.patient!r} (it has {known}); name the patients' "
            f"column, give --patient-from REGEX, or group by {columns.slide} if every slide is a "
            "patient of its own"
        )
    rows: dict[str, SlideRow] = {}
    for each in (_slide(table, row, columns) for row in table.rows):
        if (first := rows.setdefault(each.slide_id, each)) is not each:
            raise DataError(
                f"{each.where}: slide {each.slide_id} is there twice ({first.where}); keep one"
            )
    return tuple(rows.values())


def _slide(table: Table, row: Row, columns: Columns) -> SlideRow:
    name, where = slide_name(_cell(table, row, columns.slide)), _where(table, row)
    if not is_safe_id(name):
        raise DataError(f"{where}: {name!r} cannot be a slide's name; rename the slide")
    return SlideRow(name, _patient(table, row, columns, name), where, row.cells)


def _patient(table: Table, row: Row, columns: Columns, slide_id: str) -> str:
    if columns.patient_from is not None:
        return patient_from(columns.patient_from, slide_id)
    if columns.patient == columns.slide:
        return slide_id
    return _cell(table, row, columns.patient)


def _joined(patients: Table, slides: Table, columns: Columns) -> tuple[SlideRow, ...]:
    """The slides of one table, each with the cells of its patient in the other."""
    known = _by_patient(patients, columns.patient)
    rows = _rows(slides, columns)
    for slide in rows:
        if slide.patient_id not in known:
            raise DataError(
                f"{slide.where}: patient {slide.patient_id} is not in {patients.source}; "
                "add the patient, or take the slide out"
            )
    return tuple(_with_patient(slide, patients, known[slide.patient_id]) for slide in rows)


def _by_patient(patients: Table, column: str) -> dict[str, Row]:
    patients.require([column])
    known: dict[str, Row] = {}
    for row in patients.rows:
        name = _cell(patients, row, column)
        if (first := known.setdefault(name, row)) is not row:
            raise DataError(
                f"{_where(patients, row)}: patient {name} is on line {first.line} too; keep one"
            )
    return known


def _with_patient(slide: SlideRow, patients: Table, row: Row) -> SlideRow:
    return replace(slide, cells={**slide.cells, **row.cells}, where=_where(patients, row))


def _with_values(cohort: Cohort, target: Target) -> Cohort:
    Table(cohort.source, tuple(cohort.slides[0].cells), ()).require(target.columns)
    try:
        settled = target.settle([slide.cells for slide in cohort.slides])
    except DataError as error:
        raise DataError(f"{cohort.source}: {error}") from None
    slides = tuple(_valued(slide, settled) for slide in cohort.slides)
    valued = replace(cohort, slides=slides, target=settled)
    if not cohort.slide_labels:
        for patient in valued.patients:
            _ = patient.value  # raises where the slides disagree
    return valued


def _valued(slide: SlideRow, target: Target) -> SlideRow:
    try:
        return replace(slide, value=target.read(slide.cells))
    except ValueError as error:
        raise DataError(f"{slide.where}: {error}") from None


def _cell(table: Table, row: Row, column: str) -> str:
    text = row.cells[column]
    if text is None:
        raise DataError(f"{_where(table, row)}: {column} is empty; fill it in")
    return text


def _where(table: Table, row: Row) -> str:
    return f"{table.source}: line {row.line}"
