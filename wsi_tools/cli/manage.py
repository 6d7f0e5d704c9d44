"""Manage: status."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.errors import StoreError


class WhichProject:
    """Which project."""

    project: Annotated[
        Path, typer.Argument(help="The folder of stores.", metavar="PROJECT", show_envvar=False)
    ]


@opt.takes(WhichProject, opt.Manners)
def status(ctx: typer.Context) -> None:
    """Say what every store of a project holds and what failed; one small file is read for each."""
    from wsi_tools.store.project import Project

    project = Project(ctx.params["project"])
    rows = [_row(store) for store in project.stores()]
    for row in rows:
        terminal.deliver(row if ctx.params["json"] else _line(row))
    failures = project.failures()
    for failure in failures:
        terminal.say(f"failed: {failure.slide_id}: {failure.stage}: {failure.message}")
    counts = (terminal.counted(len(rows), "store"), terminal.counted(len(failures), "failure"))
    terminal.say(", ".join(counts))


def _row(store: Path) -> dict[str, Any]:
    from wsi_tools.store.layout import read_root

    try:
        root = read_root(store)
        return {"slide_id": store.stem, **root["summary"], "mpp": root["slide"]["mpp_x"]}
    except (StoreError, KeyError) as error:
        return {"slide_id": store.stem, "error": str(error)}


def _line(row: Mapping[str, Any]) -> str:
    return "\t".join((row["slide_id"], *_parts(row)))


def _parts(row: Mapping[str, Any]) -> Iterator[str]:
    if "error" in row:
        yield f"torn: {row['error']}"
        return
    yield "tissue" if row["tissue"] else "no tissue yet"
    for key, grid in row["grids"].items():
        yield f"{key}: {grid['tiles']} tiles"
        for name, shape in grid["features"].items():
            yield f"{name}: {' × '.join(str(side) for side in shape)}"
