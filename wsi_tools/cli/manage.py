"""Manage: status."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.errors import StoreError

if TYPE_CHECKING:
    from wsi_tools.store.project import Project


class WhichProject:
    """Which project."""

    project: Annotated[
        Path, typer.Argument(help="The folder of stores.", metavar="PROJECT", show_envvar=False)
    ]


class Sheet:
    """A page for a person's eyes."""

    html: Annotated[
        Path | None,
        opt.option(
            "Write a contact sheet too: every slide's overlay; an earlier one is replaced.",
            panel="Output",
            metavar="FILE",
        ),
    ] = None


@opt.takes(WhichProject, Sheet, opt.Manners)
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
    if ctx.params["html"] is not None:
        _write_sheet(project, ctx.params["html"])


def _write_sheet(project: "Project", path: Path) -> None:
    from wsi_tools.report.pages import render, write_page
    from wsi_tools.report.sheet import contact_sheet
    from wsi_tools.store.disk import naming_the_disk

    page = render("status.html", contact_sheet(project))
    with naming_the_disk(path.parent):
        write_page(path, page)
    terminal.say(f"{path}: {len(page.encode()) / 1e6:.1f} MB")


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
