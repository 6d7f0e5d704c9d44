"""Split files of other programs, read for an audit: CLAM's CSV and STAMP's JSON, beside ours."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from wsi_tools.cohort import Cohort, patient_from, slide_name
from wsi_tools.cohort.tables import Table, read_table
from wsi_tools.errors import DataError, InputError
from wsi_tools.splits.assignment import COLUMNS, ROLES, Assignment, Splits, read_splits

__all__ = ["read_any_splits"]

Listed = Iterator[tuple[int, str, str]]  # fold, role, name


def read_any_splits(
    path: Path, cohort: Cohort | None = None, *, pattern: str | None = None
) -> Splits:
    """Read a split file: ours, CLAM's (``train,val,test``, or its boolean form) or STAMP's.

    Args:
        path: the file; a CLAM file is one fold, number 0.
        cohort: whose slides are whose.
        pattern: a regular expression that finds the patient in a slide's name.

    Raises:
        DataError: it cannot be read, or names what the cohort has not.
        InputError: it is of no known form, or nothing says which patient a slide is of.
    """
    if path.suffix.lower() == ".json":
        return Splits(tuple(_resolved(path, _stamp(path), cohort, pattern, of_patients=True)))
    table = read_table(path)
    if set(COLUMNS) <= set(table.columns):
        return read_splits(path)
    if not {"train", "val"} & set(table.columns):
        raise InputError(
            f"{path.name}: no split file that is known here; columns fold,role,slide_id,patient_id "
            "or train,val,test, or STAMP's JSON"
        )
    return Splits(tuple(_resolved(path, _clam(table), cohort, pattern, of_patients=False)))


class _StampFold(BaseModel):
    model_config = ConfigDict(extra="ignore")

    train_patients: list[str]
    test_patients: list[str]
    val_patients: list[str] = []


class _StampFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    splits: list[_StampFold]


def _stamp(path: Path) -> Listed:
    try:
        file = _StampFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        reason = "not STAMP's form" if isinstance(error, ValidationError) else str(error)
        raise DataError(f"{path.name}: cannot be read as a split file: {reason}") from None
    for number, fold in enumerate(file.splits):
        for role in ROLES:
            yield from ((number, role, name) for name in getattr(fold, f"{role}_patients"))


def _clam(table: Table) -> Listed:
    """The names in each column; in the boolean form, the first column's where a cell is true."""
    roles = [role for role in ROLES if role in table.columns]
    boolean = {row.cells[role] for row in table.rows for role in roles} <= {"True", "False"}
    for row in table.rows:
        for role in roles:
            cell = row.cells[role]
            name = row.cells[table.columns[0]] if boolean and cell == "True" else cell
            if name is not None and name != "False":
                yield 0, role, name


def _resolved(
    path: Path, listed: Listed, cohort: Cohort | None, pattern: str | None, *, of_patients: bool
) -> Iterator[Assignment]:
    """Names as slides of patients; a patient's name stands for all slides of theirs."""
    patient_of = {} if cohort is None else cohort.patient_of
    slides_of = _slides_of(patient_of)
    for fold, role, name in listed:
        slide = slide_name(name)
        if name in slides_of:
            yield from (Assignment(0, fold, role, each, name) for each in slides_of[name])
        elif slide in patient_of:
            yield Assignment(0, fold, role, slide, patient_of[slide])
        elif cohort is not None:
            raise DataError(f"{path.name}: names {name}, which {cohort.source} has not")
        elif of_patients:
            yield Assignment(0, fold, role, name, name)
        elif pattern is not None:
            yield Assignment(0, fold, role, slide, patient_from(pattern, slide))
        else:
            raise InputError(
                f"{path.name}: does not say whose slide {name} is; give the cohort's table, "
                "or --patient-from REGEX"
            )


def _slides_of(patient_of: Mapping[str, str]) -> dict[str, list[str]]:
    slides: dict[str, list[str]] = {}
    for slide, patient in patient_of.items():
        slides.setdefault(patient, []).append(slide)
    return slides
