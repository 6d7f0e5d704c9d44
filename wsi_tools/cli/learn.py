"""Learn: the models that can be named."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal


class Composition:
    """Which model, and the parts around it."""

    name: Annotated[
        str | None, typer.Argument(help="One of them.", show_default=False, show_envvar=False)
    ] = None
    encoder: Annotated[
        str | None, typer.Option(help="With an encoder before it: roformer.", show_envvar=False)
    ] = None
    channel_fusion: Annotated[
        str | None,
        typer.Option(
            help="With a fusion of markers: fluoroformer, mean or concat.", show_envvar=False
        ),
    ] = None
    stabilize: Annotated[
        str | None, typer.Option(help="With a stabiliser around it: asmil.", show_envvar=False)
    ] = None


@opt.takes(Composition, opt.Manners)
def models(ctx: typer.Context) -> None:
    """List the models, or describe one: parameters and defaults, attention, tasks, paper."""
    from wsi_tools.mil import CARDS, MODELS

    name = ctx.params["name"]
    if name is None and not ctx.params["json"]:
        for each in MODELS:
            summary = CARDS[each].summary if each in CARDS else MODELS[each].card.summary
            terminal.deliver(f"{each:<16} {summary}")
        return
    for row in (_described(each, ctx.params) for each in ([name] if name else MODELS)):
        terminal.deliver(row if ctx.params["json"] else "\n".join(_lines(row)))


def _described(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A model's card, and its parameters with their defaults."""
    from wsi_tools.mil import card, parameters

    parts = {part: chosen[part] for part in ("encoder", "channel_fusion", "stabilize")}
    return asdict(card(name)) | {"parameters": parameters(name, **parts)}


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['name']}: {row['summary']}"
    for label in ("paper", "licence", "attention"):
        yield f"  {label}: {row[label]}"
    yield f"  tasks: {', '.join(row['tasks'])}"
    yield f"  needs: {', '.join(row['needs']) or 'one vector per tile'}"
    for name, default in row["parameters"].items():
        yield f"  --set {name}={default}"
