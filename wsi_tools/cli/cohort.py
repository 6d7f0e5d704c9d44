"""Options that say what a cohort is and what is to be learnt from it, and what they come to."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import terminal
from wsi_tools.cli.options import option
from wsi_tools.errors import DataError, InputError

if TYPE_CHECKING:
    from wsi_tools.cohort import Cohort, Target

TASKS = ("classification", "multilabel", "regression", "survival")


CohortFile = Annotated[
    Path | None,
    typer.Argument(
        help="A table with a row per slide: CSV, TSV, xlsx or parquet.",
        metavar="COHORT",
        show_default=False,
        show_envvar=False,
    ),
]


class CohortTable:
    """Where slides and patients stand."""

    slides: Annotated[
        Path | None,
        option("A second table with a row per slide.", panel="Cohort", metavar="FILE"),
    ] = None
    slide_id: Annotated[str, option("Column of slides or their files.", panel="Cohort")] = (
        "slide_id"
    )
    group: Annotated[str, option("Column of patients.", panel="Cohort")] = "patient_id"
    patient_from: Annotated[
        str | None,
        option(
            "Find the patient in the slide's name, by the first group.",
            panel="Cohort",
            metavar="REGEX",
        ),
    ] = None


class Aim:
    """What is to be learnt."""

    task: Annotated[
        str | None,
        option(
            f"{', '.join(TASKS)}.",
            panel="Target",
            default="survival with --time, else classification",
        ),
    ] = None
    label: Annotated[
        str | None,
        option("Column of the label; of multilabel several, by commas.", panel="Target"),
    ] = None
    classes: Annotated[
        str | None,
        option("The labels in order, by commas.", panel="Target", default="sorted"),
    ] = None
    slide_labels: Annotated[
        bool,
        option("Slides of a patient have labels of their own.", "--slide-labels", panel="Target"),
    ] = False
    time: Annotated[str | None, option("Column of the times of follow-up.", panel="Target")] = None
    event: Annotated[
        str | None, option("What marks an event.", panel="Target", metavar="COL=VALUE")
    ] = None
    censored: Annotated[
        str | None, option("What marks a censored time.", panel="Target", metavar="COL=VALUE")
    ] = None


def read_cohort(ctx: typer.Context, table: Path, *, target: bool = True) -> "Cohort":
    """The cohort that is meant; without `target`, whatever may be in its label columns.

    Raises:
        InputError: options contradict each other, or name a column that is not there.
        DataError: a table cannot be read, or contradicts itself.
    """
    from wsi_tools import cohort

    given = ctx.params
    return cohort.read_cohort(
        table,
        cohort.Columns(given["slide_id"], given["group"], given["patient_from"]),
        target=read_target(ctx) if target else None,
        slides=given["slides"],
        slide_labels=given["slide_labels"],
    )


def read_target(ctx: typer.Context) -> "Target":
    """What is to be learnt.

    Raises:
        InputError: the options do not say, or contradict each other.
    """
    from wsi_tools import cohort

    given, task = ctx.params, _task(ctx)
    if task == "survival":
        if given["time"] is None:
            raise InputError("--task survival: name the column of times with --time")
        coding = cohort.event_coding(given["event"], given["censored"])
        return cohort.Survival(given["time"], coding)
    if given["label"] is None:
        raise InputError(f"--task {task}: name its column with --label, or --time for survival")
    if task == "regression":
        return cohort.Regression(given["label"])
    if task == "multilabel":
        return cohort.Multilabel(_listed(given["label"]))
    return cohort.Classification(given["label"], _listed(given["classes"] or ""))


def _task(ctx: typer.Context) -> str:
    given = ctx.params
    if given["task"] is None and given["label"] and given["time"]:
        raise InputError("--label and --time were both given; say which --task is meant")
    task = given["task"] or ("survival" if given["time"] else "classification")
    if task not in TASKS:
        raise InputError(f"--task {task}: choose from {', '.join(TASKS)}")
    return str(task)


def meant(given: Mapping[str, Any], project: Path) -> "Cohort":
    """The slides that are meant: those of the table that ``--cohort`` names, or all there are.

    Raises:
        DataError: a slide of the table has no store, or the project holds none.
    """
    from wsi_tools.cohort import Cohort, Columns, SlideRow, patient_from, read_cohort
    from wsi_tools.cohort.stores import with_stores
    from wsi_tools.store import Project

    if given["cohort"] is not None:
        columns = Columns(given["slide_id"], given["group"], given["patient_from"])
        table = read_cohort(given["cohort"], columns, slides=given["slides"])
        return with_stores(table, project, skip_missing=given["skip_missing"])
    names = [store.stem for store in Project(project).stores()]
    if not names:
        raise DataError(f"{project}: holds no store; prepare slides with wsitools run")
    pattern = given["patient_from"]
    if pattern is None:
        return Cohort.of_slides(names)
    return Cohort(tuple(SlideRow(name, patient_from(pattern, name)) for name in names))


def say_cohort(cohort: "Cohort") -> None:
    """Tell how many there are of what."""
    size = f"{len(cohort.slides)} slides of {len(cohort.patients)} patients"
    terminal.say("; ".join((f"{cohort.source}: {size}", *_values(cohort))))


def _values(cohort: "Cohort") -> Iterator[str]:
    """What there is to be learnt, counted."""
    from wsi_tools.cohort import Survival, summarize

    if isinstance(cohort.target, Survival):
        told = summarize(cohort)
        yield (
            f"{told.events} patients with the event (median time {told.median_event_time:g}), "
            f"{told.censored} censored (median time {told.median_censored_time:g})"
        )
    elif cohort.target is not None:
        values = [each.value for each in cohort.slides if each.value is not None]
        counts = Counter(cohort.target.group(value) for value in values)
        yield ", ".join(f"{count} slides of {group}" for group, count in sorted(counts.items()))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
