"""Look: report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.errors import InputError, WsiToolsError

if TYPE_CHECKING:
    from wsi_tools.report import RunRecord, Truth

PAGE = "report.html"


class WhichRun:
    """What is reported."""

    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run of wsitools train.", metavar="RUN", show_default=False, show_envvar=False
        ),
    ] = None
    project: Annotated[
        Path | None,
        typer.Argument(
            help="The project of stores, for pictures; by default the one it was trained on.",
            metavar="PROJECT",
            show_default=False,
            show_envvar=False,
        ),
    ] = None


class WhatItShows:
    """What is on the page."""

    cohort: Annotated[
        Path | None,
        opt.option(
            "The table that knows the labels.",
            panel="Page",
            metavar="FILE",
            default="the one it was trained on",
        ),
    ] = None
    slides: Annotated[int, opt.option("Slides with pictures, at most.", panel="Page", least=0)] = 12
    tiles: Annotated[int, opt.option("Top tiles of each.", panel="Page", least=0)] = 6
    device: Annotated[str, opt.option("auto, cpu, cuda or cuda:N.", panel="Page")] = "auto"


class PageOutput:
    """Where the page goes."""

    out: Annotated[
        Path | None,
        opt.option(
            "The page; an earlier one there is replaced.",
            "--out",
            "-o",
            panel="Output",
            metavar="FILE",
            default="RUN/report.html",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        opt.option("Say what would be shown; write nothing.", "--dry-run", panel="Output"),
    ] = False


@opt.takes(WhichRun, WhatItShows, PageOutput, opt.Manners)
def report(ctx: typer.Context) -> None:
    """Put a run on one page that holds all it shows: curves, metrics, slides, provenance."""
    from wsi_tools.report import contents, make_slides, read_run, render, write_page
    from wsi_tools.store.disk import naming_the_disk

    given = ctx.params
    if given["run"] is None:
        raise InputError("name a run of wsitools train")
    run = read_run(given["run"])
    out = given["out"] or run.path / PAGE
    truth, missing = _truth(run, given["cohort"])
    shown = _shown(run, given)
    if given["dry_run"]:
        _foresee(run, out, shown)
        return
    page = render("report.html", contents(run, truth, missing, make_slides(run, truth, shown)))
    with naming_the_disk(out.parent):
        write_page(out, page)
    _deliver(out, len(page.encode()), json=given["json"])


def _truth(run: "RunRecord", table: Path | None) -> tuple["Truth | None", str]:
    """What became of the patients; or, where the run's own table is gone, why it is not known.

    Raises:
        WsiToolsError: the table that was named does not fit.
    """
    from wsi_tools.report import read_truth

    try:
        truth = read_truth(run, table)
    except WsiToolsError as error:
        if table is not None:
            raise
        terminal.warn(f"{error}; the page goes without curves: name the table with --cohort")
        return None, str(error)
    if truth.changed:
        terminal.warn(
            f"{truth.cohort.source}: is not what the run was trained on; the page says so"
        )
    return truth, ""


def _shown(run: "RunRecord", given: dict[str, Any]) -> Any:
    """How much of the slides is shown."""
    from wsi_tools.report import Shown

    known = run.options.get("project")
    project = given["project"] or (Path(known) if known else None)
    if given["project"] is not None and not given["project"].is_dir():
        raise InputError(f"{given['project']}: no such project; name the folder of stores")
    if given["slides"] and (project is None or not project.is_dir()):
        terminal.warn("no pictures of slides: name the project of stores after the run")
    return Shown(project, given["slides"], given["tiles"], given["device"])


def _foresee(run: "RunRecord", out: Path, shown: Any) -> None:
    """Say what would be written."""
    tested = {each.slide_id for each in run.splits.assignments if each.role == "test"}
    pictures = min(len(tested), shown.slides) if shown.project is not None else 0
    folds = len(run.trainings)
    terminal.deliver(
        {"page": str(out), "folds": folds, "slides": len(tested), "pictures": pictures}
    )


def _deliver(out: Path, size: int, *, json: bool) -> None:
    from wsi_tools.report.pages import BUDGET_BYTES

    if size > BUDGET_BYTES:
        terminal.warn(f"{out}: is large; ask for fewer --slides or --tiles")
    terminal.say(f"{out}: {size / 1e6:.1f} MB")
    terminal.deliver({"page": str(out), "bytes": size} if json else str(out))
