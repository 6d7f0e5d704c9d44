"""From a verb's options to what becomes of the channels of multiplex slides."""

from typing import TYPE_CHECKING

import typer

from wsi_tools.cli import terminal
from wsi_tools.cli.verbs import refuse_unknown
from wsi_tools.errors import InputError
from wsi_tools.preparation import Markers

if TYPE_CHECKING:
    from wsi_tools.channels import ChannelRecipe, Panel

__all__ = ["markers", "panel_given", "recipe_given"]

MISSING = ("error", "zero", "drop")


def panel_given(ctx: typer.Context) -> "Panel | None":
    """The panel that was named.

    Raises:
        DataError: it cannot be read.
    """
    from wsi_tools.channels import read_panel

    path = ctx.params.get("panel")
    return None if path is None else read_panel(path)


def recipe_given(ctx: typer.Context) -> "ChannelRecipe | None":
    """The recipe that was named.

    Raises:
        InputError: there is none of that name.
    """
    from wsi_tools.channels import CHANNEL_RECIPES

    name = ctx.params.get("recipe")
    if name is None:
        return None
    refuse_unknown("--recipe", name, CHANNEL_RECIPES)
    return CHANNEL_RECIPES[name]


def markers(ctx: typer.Context) -> Markers:
    """Which markers, on which scale; a cohort's scale is measured later.

    Raises:
        InputError: an option is not understood, or options contradict each other.
    """
    from wsi_tools.channels import Normalization

    given = ctx.params
    refuse_unknown("--missing-marker", given["missing_marker"], MISSING)
    recipe_given(ctx)
    rule = None if given["normalize"] is None else Normalization.parse(given["normalize"])
    fitted = rule is not None and rule.is_fitted
    if given["normalize_fit"] is not None and not fitted:
        raise InputError(
            f"--normalize-fit: --normalize {rule or 'dtype'} measures nothing on slides; add "
            "--normalize percentile:1,99 or zscore"
        )
    if rule is not None and fitted and given["normalize_fit"] is None:
        terminal.warn(rule.caution)
    return Markers(
        panel=panel_given(ctx),
        channels_as=given["channels_as"],
        normalization=rule,
        background=background(given["background"]),
        recipe=given["recipe"],
        missing=given["missing_marker"],
    )


def background(text: str | None) -> tuple[str, float | None] | None:
    """A marker and its factor from ``NAME`` or ``NAME:1.5``.

    Raises:
        InputError: the factor is no positive number.
    """
    if text is None:
        return None
    name, colon, factor = text.rpartition(":")
    if not colon:
        return text, None
    try:
        scale = float(factor)
    except ValueError:
        return text, None  # a colon of the name's own
    if not 0 < scale < float("inf"):
        raise InputError(f"--background {text}: {factor} is no factor; try {name}:1")
    return name, scale
