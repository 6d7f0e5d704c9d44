"""The command: every verb, and the border where errors become exit codes.

Nothing heavy is imported before a verb runs: ``--help`` answers at once.
"""

from typing import Annotated

import typer

from wsi_tools import __version__
from wsi_tools.cli import (
    embed,
    evaluate,
    heatmap,
    learn,
    manage,
    predict,
    prepare,
    report,
    split_channels,
    train,
)
from wsi_tools.cli.options import Config
from wsi_tools.cli.terminal import deliver
from wsi_tools.cli.verbs import Verb, Verbs

__all__ = ["app"]

app = typer.Typer(
    name="wsitools",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "WSITOOLS",
    },
)

PANELS = {
    "Prepare": (
        prepare.info,
        prepare.segment,
        prepare.tile,
        embed.embed,
        embed.run,
        split_channels.split_channels,
    ),
    "Learn": (
        learn.splits,
        train.train,
        predict.predict,
        evaluate.evaluate,
        learn.models,
        embed.backbones,
    ),
    "Look": (heatmap.heatmap, report.report),
    "Manage": (manage.status,),
}

for panel, verbs in PANELS.items():
    for verb in verbs:
        app.command(
            cls=Verb,
            no_args_is_help=verb not in (learn.models, embed.backbones),
            rich_help_panel=panel,
        )(verb)


def _version(asked: bool) -> None:
    if asked:
        deliver(__version__)
        raise typer.Exit


@app.callback()
def wsitools(
    config: Config = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_version,
            help="Print the version.",
            show_envvar=False,
        ),
    ] = False,
) -> None:
    """From a folder of whole-slide images to trained, honest, explained slide-level models."""
