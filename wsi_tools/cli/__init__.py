"""The command: its verbs, and the border where errors become exit codes.

Nothing heavy is imported before a verb runs: ``--help`` answers at once.
"""

from typing import Annotated

import typer

from wsi_tools import __version__
from wsi_tools.cli.terminal import deliver
from wsi_tools.cli.verbs import Config, Verbs

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
