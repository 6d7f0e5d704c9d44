"""Prepare: info, segment and tile."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.cli.telling import Account, foreseen
from wsi_tools.cli.verbs import refuse_unknown

if TYPE_CHECKING:
    from wsi_tools.preparation import Task

Row = Mapping[str, Any]


class ReadPlan:
    """For which tiles the reading is explained."""

    mpp: Annotated[float, opt.option("µm/px of a tile.", panel="Tiles")] = 0.5
    tile_size: Annotated[
        int | None, opt.option("Say how tiles of this side would be read.", panel="Tiles", least=1)
    ] = None


@opt.takes(opt.Input, ReadPlan, opt.Manners)
def info(ctx: typer.Context) -> None:
    """Say what slides are: reader, size, levels, resolution with its sources, channels."""
    from wsi_tools.cli.description import lines
    from wsi_tools.cli.inputs import read_inputs
    from wsi_tools.cli.requested import reading
    from wsi_tools.cli.running import Run
    from wsi_tools.preparation.description import Description

    given = ctx.params
    work = Description(reading(ctx), given["tile_size"], given["mpp"])
    inputs = read_inputs(given["slides"], recursive=given["recursive"], manifest=given["manifest"])
    run = Run([work], record=False)
    run.refuse(inputs.refused, None)
    for _, facts in run.results(inputs.slides(Path()) + inputs.recorded()):
        terminal.deliver(facts if given["json"] else "\n".join(lines(facts)))


@opt.takes(opt.Input, opt.Tissue, opt.WhichPanel, opt.Pictures, opt.Output, opt.Many, opt.Manners)
def segment(ctx: typer.Context) -> None:
    """Find tissue and keep it: outlines with holes, a mask, a thumbnail."""
    for _, row in prepared(ctx, "segment"):
        deliver(ctx, row)


@opt.takes(
    opt.Input,
    opt.Scale,
    opt.LeastTissue,
    opt.WhichPanel,
    opt.Coordinates,
    opt.Output,
    opt.Many,
    opt.Manners,
)
def tile(ctx: typer.Context) -> None:
    """Lay a grid of tiles of an exact physical size over tissue, found first if missing."""
    kind = ctx.params["coords"]
    if kind is not None:
        refuse_unknown("--coords", kind, ("csv", "jsonl"))
    if kind == "csv":
        terminal.deliver("slide_id,x,y,row,column,tissue")
    for task, row in prepared(ctx, "tile"):
        if kind is None or "grid" not in row or ctx.params["dry_run"]:
            deliver(ctx, row)
        else:
            for line in _coordinates(task, row["grid"], kind):
                terminal.deliver(line)


def prepared(ctx: typer.Context, until: str) -> Iterator[tuple["Task", Row]]:
    """Carry a verb of preparation out on everything named; yield each slide's result."""
    from wsi_tools.cli.inputs import read_inputs, take_shard
    from wsi_tools.cli.requested import preparation
    from wsi_tools.cli.running import Run
    from wsi_tools.cli.scale import on_one_scale

    given = ctx.params
    work = preparation(ctx, until)
    inputs = read_inputs(given["slides"], recursive=given["recursive"], manifest=given["manifest"])
    tasks = take_shard(inputs.tasks(given["out"]), given["shard"])
    if given.get("normalize_fit") is not None:
        work = on_one_scale(ctx, work, tasks)
    run = Run.asked(work.crew(given["workers"]), given)
    run.refuse(inputs.refused, given["out"])
    account = Account()
    try:
        for task, result in run.results(tasks):
            row = asdict(result)
            account.tell(row)
            yield task, row
    finally:
        account.close()


def deliver(ctx: typer.Context, row: Row) -> None:
    """Write a slide's result to stdout: its store, or with --json everything."""
    if ctx.params["json"]:
        terminal.deliver(row)
    else:
        terminal.deliver(foreseen(row) if ctx.params["dry_run"] else row["store"])


def _coordinates(task: "Task", key: str, kind: str) -> Iterator[str | Row]:
    """The tiles of a grid in storage order; x and y are level-0 pixels, the top left corner."""
    from wsi_tools.store import FeatureStore

    grid = FeatureStore(task.store).grid(key)
    columns = (grid.xy.tolist(), grid.index.tolist(), grid.tissue.tolist())
    for (x, y), (row, column), tissue in zip(*columns, strict=True):
        tile = {"slide_id": task.slide_id, "x": x, "y": y, "row": row, "column": column}
        fields = {**tile, "tissue": round(tissue, 6)}
        yield fields if kind == "jsonl" else _csv_line(fields.values())


def _csv_line(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
