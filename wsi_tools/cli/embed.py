"""Prepare: embed, run, and the backbones they know."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.cli.prepare import deliver, prepared
from wsi_tools.cli.verbs import refuse_unknown

if TYPE_CHECKING:
    from wsi_tools.embedding.cards import Card


@opt.takes(
    opt.Input,
    opt.WhichGrid,
    opt.WhichPanel,
    opt.Channels,
    opt.Features,
    opt.LeastTissue,
    opt.Output,
    opt.Many,
    opt.Manners,
)
def embed(ctx: typer.Context) -> None:
    """Embed the tiles of a project (or of slides, tiled first) into rows of features."""
    for _, row in prepared(ctx, "embed"):
        deliver(ctx, row)


class LastStage:
    """Where `run` stops."""

    until: Annotated[
        str, opt.option("The last stage: segment, tile or embed.", panel="Many slides")
    ] = "embed"


@opt.takes(
    opt.Input,
    opt.Tissue,
    opt.Pictures,
    opt.Scale,
    opt.LeastTissue,
    opt.WhichPanel,
    opt.Channels,
    opt.Features,
    opt.Output,
    opt.Many,
    LastStage,
    opt.Manners,
)
def run(ctx: typer.Context) -> None:
    """Segment, tile and embed, slide by slide: from files to features in one command."""
    until = ctx.params["until"]
    refuse_unknown("--until", until, ("segment", "tile", "embed"))
    for _, row in prepared(ctx, until):
        deliver(ctx, row)


class OneName:
    """Which one to describe."""

    name: Annotated[
        str | None, typer.Argument(help="One of them.", show_default=False, show_envvar=False)
    ] = None


@opt.takes(OneName, opt.Manners)
def backbones(ctx: typer.Context) -> None:
    """List the backbones, or describe one: width, geometry, licence, where its weights are."""
    from wsi_tools.embedding.cards import BACKBONES, find_card

    name = ctx.params["name"]
    cards = [find_card(each) for each in ([name] if name else BACKBONES)]
    for card in cards:
        if ctx.params["json"]:
            terminal.deliver(asdict(card))
        elif name:
            terminal.deliver("\n".join(_facts(card)))
        else:
            terminal.deliver(_line(card))


def _facts(card: "Card") -> Iterator[str]:
    """What the card says; what it leaves to the model's own configuration is left out."""
    for name, value in asdict(card).items():
        if isinstance(value, dict):
            value = ", ".join(f"{key}={each}" for key, each in value.items())
        elif isinstance(value, tuple):
            value = ", ".join(map(str, value))
        if value not in (None, ""):
            yield f"{name}: {value}"


def _line(card: "Card") -> str:
    gate = ", gated" if card.gated else ""
    return f"{card.name:<14} {card.width} values, {card.px} px, {card.licence}{gate}, {card.source}"
