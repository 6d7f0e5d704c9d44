"""Prepare: split-channels, the markers of multiplex slides as pictures for other programs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools import __version__
from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.errors import InputError

if TYPE_CHECKING:
    from wsi_tools.cli.inputs import Inputs
    from wsi_tools.splitting import SplitRequest, Splitting

Row = Mapping[str, Any]


class Splits:
    """Which markers, changed how, in which format."""

    markers: Annotated[
        str | None,
        opt.option(
            "Names, apart by commas.", panel="Markers", metavar="NAMES", default="all of the panel"
        ),
    ] = None
    to: Annotated[str, opt.option("ome-zarr or ome-tiff.", panel="Output")] = "ome-zarr"
    background: Annotated[
        str | None,
        opt.option("NAME[:FACTOR], subtracted from all other markers.", panel="Markers"),
    ] = None
    normalize: Annotated[
        str | None,
        opt.option(
            "dtype, fixed, percentile:LO,HI, zscore or arcsinh:C; fills the range of the dtype.",
            panel="Markers",
            default="as stored",
        ),
    ] = None
    dtype: Annotated[str, opt.option("keep or uint8.", panel="Output")] = "keep"
    missing_marker: Annotated[
        str, opt.option("error or drop, where a slide lacks a marker.", panel="Markers")
    ] = "error"


@opt.takes(opt.Input, opt.WhichPanel, Splits, opt.Output, opt.Many, opt.Manners)
def split_channels(ctx: typer.Context) -> None:
    """Write every marker of multiplex slides as a pyramid of its own."""
    from wsi_tools.cli.inputs import read_inputs, take_shard
    from wsi_tools.cli.running import Run

    given = ctx.params
    work = _work(ctx)
    inputs = read_inputs(given["slides"], recursive=given["recursive"], manifest=given["manifest"])
    _refuse_places(inputs, given["out"])
    tasks = take_shard(inputs.slides(given["out"]), given["shard"])
    run = Run.asked([work] * given["workers"], given)
    run.refuse(inputs.refused, given["out"])
    for _, result in run.results(tasks):
        row = asdict(result)
        _tell(row)
        terminal.deliver(row if given["json"] else row["folder"])


def _work(ctx: typer.Context) -> "Splitting":
    from wsi_tools.cli.requested import reading
    from wsi_tools.preparation import Preparation
    from wsi_tools.splitting import Splitting

    request = _request(ctx)
    preparation = Preparation("segment", reading(ctx))
    return Splitting(
        opened=preparation.opened,
        request=request,
        measured=_measuring(ctx, request) if request.rule.is_fitted else None,
        overwrite=ctx.params["overwrite"],
        dry_run=ctx.params["dry_run"],
        version=__version__,
    )


def _request(ctx: typer.Context) -> "SplitRequest":
    from wsi_tools.channels import Normalization
    from wsi_tools.cli.markers import background, panel_given
    from wsi_tools.splitting import SplitRequest

    given = ctx.params
    names = (name.strip() for name in (given["markers"] or "").split(","))
    rule = None if given["normalize"] in (None, "none") else Normalization.parse(given["normalize"])
    return SplitRequest(
        panel=panel_given(ctx),
        names=tuple(name for name in names if name),
        background=background(given["background"]),
        normalization=rule,
        dtype=given["dtype"],
        form=given["to"],
        missing=given["missing_marker"],
    )


def _measuring(ctx: typer.Context, request: "SplitRequest") -> Any:
    """What measures a slide's markers on its tissue, as `embed` does."""
    from wsi_tools.cli.requested import reading
    from wsi_tools.preparation import Embedding, Preparation
    from wsi_tools.preparation.fitting import ScaleFitting
    from wsi_tools.preparation.markers import Markers
    from wsi_tools.preparation.requests import Tiling
    from wsi_tools.tiling import TileSpec

    terminal.warn(request.rule.caution)
    markers = Markers(
        panel=request.panel, normalization=request.normalization, background=request.background
    )
    tiling = Tiling(TileSpec(allow_upsample=True))  # nothing but the sample comes of these tiles
    return ScaleFitting(
        Preparation("embed", reading(ctx), tiling=tiling, embedding=Embedding((), markers=markers)),
        request.matched,
    )


def _refuse_places(inputs: "Inputs", out: Path | None) -> None:
    if inputs.stores:
        raise InputError(f"{inputs.stores[0]}: is a store; name the slide itself")
    if out is None:
        raise InputError("split-channels: say where the files go with --out")


def _tell(row: Row) -> None:
    """Say on stderr what became of a slide, or would."""
    for warning in row.get("warnings", ()):
        terminal.warn(f"{row['slide_id']}: {warning}")
    terminal.say(f"{row['slide_id']}: {', '.join(_remarks(row))}")


def _remarks(row: Row) -> Iterator[str]:
    if "bytes" in row:
        yield "there already" if row["there"] else f"{row['bytes']} bytes before compression"
    else:
        yield "done" if row["done"] else "already done"
    yield f"{terminal.counted(len(row['files']), 'marker')} of {row['levels']} levels"
    if row["missing"]:
        yield f"without {', '.join(row['missing'])}"
