"""One scale for all multiplex slides of a command, measured on those that a table names."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import typer

from wsi_tools.channels import Statistics, combined
from wsi_tools.cli import terminal
from wsi_tools.cli.running import Run
from wsi_tools.errors import DataError
from wsi_tools.preparation import CohortScale, Preparation, Task
from wsi_tools.preparation.fitting import ScaleFitting
from wsi_tools.slide.discovery import read_manifest
from wsi_tools.store.project import Project

__all__ = ["on_one_scale"]


def on_one_scale(ctx: typer.Context, work: Preparation, tasks: Sequence[Task]) -> Preparation:
    """The same preparation on the scale of the slides that ``--normalize-fit`` names.

    Raises:
        DataError: the table cannot be read, or names a slide that is not there.
        IncompleteError: a slide cannot be measured.
    """
    if work.embedding is None or work.dry_run:
        return work
    named = tuple(_named(ctx.params["normalize_fit"], tasks))
    works = [ScaleFitting(work)] * ctx.params["workers"]
    run = Run(works, fail_fast=True, record=False)
    measured: dict[str, tuple[Statistics, str]] = {}
    for task, found in run.results(named):
        measured[task.slide_id] = found
    in_order = [measured[task.slide_id] for task in named]
    scale = CohortScale(
        combined([statistics for statistics, _ in in_order]), tuple(image for _, image in in_order)
    )
    terminal.say(f"one scale for all slides, measured on {terminal.counted(len(named), 'slide')}")
    markers = replace(work.embedding.markers, cohort=scale)
    return replace(work, embedding=replace(work.embedding, markers=markers))


def _named(table: Path, tasks: Sequence[Task]) -> Iterator[Task]:
    """The slides of a table by path, or by the names they have in this command or project."""
    if "path" in _columns(table):
        home = Project(tasks[0].store.parent if tasks else Path())
        for source in read_manifest(table):
            yield Task(source, home.store(source.slide_id))
        return
    known = {task.slide_id: task for task in tasks}
    for name in _slide_ids(table):
        if name not in known:
            raise DataError(
                f"{table}: {name} is none of the slides that were named; name it too, or give its "
                "path in a column path"
            )
        yield known[name]


def _columns(table: Path) -> list[str]:
    return next(iter(_rows(table)), [])


def _slide_ids(table: Path) -> Iterator[str]:
    header, *rows = _rows(table)
    if "slide_id" not in header:
        raise DataError(f"{table}: no column slide_id or path; give one of them")
    place = header.index("slide_id")
    yield from dict.fromkeys(row[place].strip() for row in rows if len(row) > place)


def _rows(table: Path) -> list[list[str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            return [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read ({error}); name a CSV of slides") from None
