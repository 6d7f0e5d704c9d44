"""What every verb has: its configuration, resolved from four places, and errors as one line."""

import json
import os
import sys
from collections import UserDict
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from wsi_tools.cli import terminal
from wsi_tools.cli.announced import VERBS, Announced
from wsi_tools.errors import InputError, WsiToolsError

ABOUT_THE_COMMAND = {"config", "print_config", "verbose", "help", "version"}


class Verbs(TyperGroup):
    """The group of verbs: an error raised on purpose becomes one line and its exit code."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = OnCall(VERBS)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the verbs."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """A verb as it is listed: with its line and without its options."""
        verb = VERBS.get(cmd_name)
        return verb and TyperCommand(cmd_name, help=verb.says, rich_help_panel=verb.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The verb that is called, whole."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and self.commands[str(name)], rest

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line; leave with the exit code of the error, if there was one."""
        sys.excepthook = terminal.admit
        try:
            return super().main(*args, **options)
        except WsiToolsError as error:
            terminal.complain(error)
            sys.exit(error.exit_code)


class OnCall(UserDict[str, Any]):
    """Whole verbs by name; each is imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        """Import a verb, and make the command of its function."""
        verb: Announced = self.data[name]
        module = import_module(f"wsi_tools.cli.{verb.module}")
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
        alone.command(cls=Verb, no_args_is_help=not verb.bare, rich_help_panel=verb.panel)(
            getattr(module, name.replace("-", "_"))
        )
        return typer.main.get_command(alone)


class Verb(TyperCommand):
    """One verb: it can print the configuration it would run with."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, or print what it would run with."""
        if ctx.params.pop("print_config", False):
            terminal.deliver("\n".join(toml(configuration(ctx))))
            return None
        return super().invoke(ctx)


def configuration(ctx: typer.Context) -> dict[str, Any]:
    """The verb and every option as it was resolved; kept in whatever the verb makes."""
    names = [str(each.name) for each in ctx.command.params if each.name not in ABOUT_THE_COMMAND]
    given = {name: ctx.params[name] for name in names}
    options = {name: _plain(value) for name, value in given.items() if value not in (None, [], ())}
    return {"verb": ctx.info_name, "options": options}


def was_typed(ctx: typer.Context, *names: str) -> bool:
    """Whether any of these options came from the user (flag, variable or file)."""
    sources = (ctx.get_parameter_source(name) for name in names)
    return any(source is not None and source.name != "DEFAULT" for source in sources)


def refuse_unknown(flag: str, value: str, known: Iterable[str]) -> None:
    """Refuse a value that is none of those known.

    Raises:
        InputError: names those that are.
    """
    if value not in known:
        raise InputError(f"{flag} {value}: choose from {', '.join(known)}")


def load_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take defaults from a TOML file with a table per verb.

    Raises:
        InputError: no such file, no TOML in it, or a name that no option has.
    """
    if path is not None:
        group: Any = ctx.find_root().command
        tables = {
            verb: _checked(path, verb, table, group.commands.get(verb))
            for verb, table in _read_toml(path).items()
        }
        before_the_verb = ctx.command is group
        ctx.default_map = tables if before_the_verb else tables.get(str(ctx.info_name), {})
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with a table per verb; flags and WSITOOLS_* variables win.",
        metavar="FILE",
        is_eager=True,
        callback=load_config,
        show_envvar=False,
    ),
]


def show_origins(asked: bool) -> bool:
    """Let errors say where they came from, in worker processes too."""
    if asked:
        os.environ[terminal.DEBUG] = "1"
    return asked


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # help needs none

    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None


def _checked(path: Path, verb: str, table: Any, command: Any) -> dict[str, Any]:
    """The table's values under the names of parameters; every key must be an option."""
    if command is None or not isinstance(table, Mapping):
        raise InputError(f"{path}: [{verb}] is no verb of wsitools; see wsitools --help")
    names = {parameter.name for parameter in command.params} - ABOUT_THE_COMMAND
    values = {key.replace("-", "_"): value for key, value in table.items()}
    if unknown := sorted(values.keys() - names):
        flags = ", ".join(sorted(names))
        raise InputError(f"{path}: [{verb}] has no option {unknown[0]!r}; it has {flags}")
    return values


def _plain(value: Any) -> Any:
    """A value as TOML and JSON know it."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def toml(config: Mapping[str, Any]) -> Iterator[str]:
    """A table of one verb; JSON writes strings, numbers, booleans and lists as TOML does."""
    yield f"[{config['verb']}]"
    for name, value in config["options"].items():
        yield f"{name} = {json.dumps(value)}"
