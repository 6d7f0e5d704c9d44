"""Look: heatmap."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import cohort as of_cohort
from wsi_tools.cli import learning_options as learn
from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.errors import InputError

if TYPE_CHECKING:
    from wsi_tools.heatmap import HeatmapRequest, HeatmapWork


class WhichRun:
    """Whose attention, on what."""

    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run, or one fold of it.",
            metavar="RUN_OR_FOLD",
            show_default=False,
            show_envvar=False,
        ),
    ] = None
    project: Annotated[
        Path | None,
        typer.Argument(
            help="The project of stores.",
            metavar="PROJECT",
            show_default=False,
            show_envvar=False,
        ),
    ] = None
    cohort: Annotated[
        Path | None,
        opt.option(
            "Which slides, whose, and clinical columns; no label is read.",
            panel="Cohort",
            metavar="FILE",
            default="all slides, each a patient's",
        ),
    ] = None
    skip_missing: Annotated[
        bool,
        opt.option("Go on without slides that have no store.", "--skip-missing", panel="Cohort"),
    ] = False


class WhatIsShown:
    """Which files, of which scores."""

    to: Annotated[
        str,
        opt.option(
            "png, csv, geojson (QuPath), ome-tiff (the numbers), rgb-tiff (the colours over the "
            "slide); several by commas.",
            panel="Files",
        ),
    ] = "png"
    score: Annotated[
        list[str],
        opt.option(
            "attention, attention:CLASS, attention:CLASS/head-0, marker:NAME, a view of the model, "
            "or all.",
            panel="Files",
        ),
    ] = ["attention"]  # noqa: RUF012 a default that Typer copies
    tiles: Annotated[
        int,
        opt.option("A contact sheet of so many highest and lowest tiles.", panel="Files", least=0),
    ] = 0
    what_if: Annotated[
        list[str] | None,
        opt.option(
            "A clinical column with another value: what changes, and where.",
            panel="Files",
            metavar="COL=VALUE",
        ),
    ] = None
    origin: Annotated[
        str,
        opt.option(
            "What is (0, 0) in GeoJSON: the slide's corner, or that of its bounds, as QuPath has "
            "it for MRXS and SCN.",
            panel="Files",
        ),
    ] = "slide"


class HowItLooks:
    """Colours and size."""

    scaling: Annotated[
        str,
        opt.option("percentile of the slide's tiles, or raw, from least to most.", panel="Colours"),
    ] = "percentile"
    colours: Annotated[
        str, opt.option("viridis, plasma, inferno, magma or cividis.", panel="Colours")
    ] = "viridis"
    opacity: Annotated[float, opt.option("Of the heat over the slide.", panel="Colours")] = 0.6
    background: Annotated[
        str,
        opt.option("slide, thumbnail, or auto: the slide where it is there.", panel="Colours"),
    ] = "auto"
    picture_px: Annotated[
        int, opt.option("The longer side of a picture.", panel="Colours", least=64)
    ] = 1200


class MapOutput:
    """Where the files go."""

    out: Annotated[
        Path | None,
        opt.option("The folder of the files.", "--out", "-o", panel="Output", metavar="DIR"),
    ] = None
    overwrite: Annotated[
        bool, opt.option("Replace what another request made.", "--overwrite", panel="Output")
    ] = False
    dry_run: Annotated[
        bool, opt.option("Say what would be made; write nothing.", "--dry-run", panel="Output")
    ] = False


@opt.takes(
    WhichRun,
    of_cohort.CohortTable,
    WhatIsShown,
    HowItLooks,
    MapOutput,
    opt.Many,
    learn.PredictionMeans,
    opt.Manners,
)
def heatmap(ctx: typer.Context) -> None:
    """Show what a model looked at: overlays, QuPath tiles, pyramids, tables, top tiles.

    A slide of the run's cohort is seen by the fold that was tested on it, any other by all folds.
    Stores and models are enough; the slides are only needed behind the heat and for tiles.
    """
    work = _work(ctx)
    if ctx.params["dry_run"]:
        _foresee(work)
        return
    _make(ctx, work)


def _make(ctx: typer.Context, work: "HeatmapWork") -> None:
    """Make every slide's files; deliver their paths, or a line of JSON per slide."""
    from wsi_tools.cli.inputs import take_shard
    from wsi_tools.cli.running import Run
    from wsi_tools.store.disk import naming_the_disk

    given = ctx.params
    waiting: Any = work.tasks()  # they go where slides go
    tasks = take_shard(waiting, given["shard"])
    with naming_the_disk(work.out):
        work.out.mkdir(parents=True, exist_ok=True)
        crew = Run.asked([work] * given["workers"], given)
        known = []
        for _, rows in crew.results(tasks):
            for row in rows:
                _tell(row, work, json=given["json"])
                known.append(row["judges"]["known"])
    if "learnt" in known:
        terminal.warn(
            f"{known.count('learnt')} of {len(known)} slides helped to train all models that are "
            "here; their maps show what was learnt by heart"
        )


def _tell(row: dict[str, Any], work: "HeatmapWork", *, json: bool) -> None:
    if work.request.tiles and not row["slide_there"]:
        terminal.warn(f"{row['slide_id']}: its slide is gone, so no tiles are shown")
    if json:
        terminal.deliver(row)
        return
    for name in row["files"]:
        terminal.deliver(str(work.out / name))


def _foresee(work: "HeatmapWork") -> None:
    """Deliver what would be made, a line per slide."""
    for task in work.tasks():
        for row in work.foreseen(task.case):
            terminal.deliver(row)


def _work(ctx: typer.Context) -> "HeatmapWork":
    """Everything that was asked for, read and checked.

    Raises:
        WsiToolsError: the options, the run and the stores do not fit together.
    """
    from wsi_tools.heatmap import HeatmapWork
    from wsi_tools.prediction import Computing

    given = ctx.params
    if given["run"] is None or given["project"] is None:
        raise InputError("name a run, or a fold of one, and the project of stores")
    if given["out"] is None and not given["dry_run"]:
        raise InputError("say where the heat maps go with --out")
    request = _request(given)
    return HeatmapWork(
        given["run"],
        given["project"],
        of_cohort.meant(given, given["project"]),
        request,
        given["out"] or Path(),
        Computing(given["device"], given["precision"]),
        given["overwrite"],
    )


def _request(given: dict[str, Any]) -> "HeatmapRequest":
    from wsi_tools.heatmap import HeatmapRequest
    from wsi_tools.heatmap.what_if import change_of

    return HeatmapRequest(
        to=tuple(dict.fromkeys(each.strip() for each in given["to"].split(",") if each.strip())),
        scores=tuple(dict.fromkeys(given["score"])),
        scaling=given["scaling"],
        colours=given["colours"],
        opacity=given["opacity"],
        background=given["background"],
        picture_px=given["picture_px"],
        tiles=given["tiles"],
        origin=given["origin"],
        what_if=tuple(dict.fromkeys(change_of(text) for text in given["what_if"] or ())),
    )
