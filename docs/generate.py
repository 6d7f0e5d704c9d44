"""Write the pages that are generated: the command reference, and the tree that ends the README.

    python docs/generate.py

Tests compare what is there with what this would write.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from wsi_tools.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
COMMANDS = ROOT / "docs" / "pages" / "reference" / "cli.md"
TREE = "## The tree\n"
OTHERS = {
    "cli.py": "run it from a checkout",
    "docs/": "pages and mkdocs.yml; generate.py writes cli.md and this tree",
    "sample_data/": "scripts that make three slides and a cohort; the demo",
    "tests/": "unit, contract, parity, e2e, packaging",
}


def main() -> None:
    """Write both."""
    COMMANDS.write_text(command_reference())
    README.write_text(with_tree(README.read_text()))


def command_reference() -> str:
    """The page of every verb and option, as the code has them."""
    program = typer.main.get_command(app)
    blocks = [
        "# Commands",
        "<!-- Written by docs/generate.py; change the code instead. -->",
        str(program.help),
        "Options of the program itself come before the verb; `-h` after a verb shows its section.",
        table(program.params),
        *(block for name, verb in program.commands.items() for block in section(name, verb)),
    ]
    return "\n\n".join(blocks) + "\n"


def section(name: str, verb: Any) -> Iterator[str]:
    """One verb: usage, what it does, a table of options per panel."""
    arguments = [each for each in verb.params if each.param_type_name == "argument"]
    yield f"## {name}"
    yield verb.help
    yield f"```text\nwsitools {' '.join([name, '[OPTIONS]', *map(usage, arguments)])}\n```"
    yield "\n".join(f"`{usage(each)}`: {each.help}" for each in arguments) or "No arguments."
    options = [each for each in verb.params if each not in arguments]
    for panel in dict.fromkeys(each.rich_help_panel for each in options):
        yield f"### {name}: {panel or 'Options'}"
        yield table(each for each in options if each.rich_help_panel == panel)


def usage(argument: Any) -> str:
    """An argument as a usage line has it."""
    text = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def table(options: Iterable[Any]) -> str:
    """A table of options: how they are written, their defaults, what they mean."""
    rows = (f"| {spelt(each)} | {default(each)} | {escaped(each.help)} |" for each in options)
    return "\n".join(("| option | default | |", "|---|---|---|", *rows))


def spelt(option: Any) -> str:
    """Every way to write an option, with what follows it."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names} {option.metavar}" if option.metavar else names


def default(option: Any) -> str:
    """A default as a user would type it; blank where there is none."""
    if option.is_flag:
        return "on" if option.default else "off"
    if isinstance(option.show_default, str):
        return option.show_default
    if option.default is None:
        return ""
    values = option.default if isinstance(option.default, list) else [option.default]
    return f"`{' '.join(map(str, values))}`"


def escaped(text: str) -> str:
    """Text that may stand in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def with_tree(readme: str) -> str:
    """The README with the tree of today at its end."""
    head, heading, _ = readme.partition(TREE)
    return f"{head}{heading}\n```text\n" + "\n".join(tree()) + "\n```\n"


def tree() -> list[str]:
    """One line per file of the package, and one per folder beside it."""
    others = [f"{name:<30} {what}" for name, what in OTHERS.items()]
    return [*(line for path in modules() for line in described(path)), *others]


def modules() -> list[Path]:
    """The package's files, a folder's own before what is in it."""
    files = (path.relative_to(ROOT) for path in (ROOT / "wsi_tools").rglob("*.py"))
    return sorted(files, key=lambda path: (path.parent, path.name != "__init__.py", path.name))


def described(path: Path) -> Iterator[str]:
    """The line of a file; a folder's own file is the line of the folder."""
    depth = len(path.parts) - 1
    sentence = first_sentence(ROOT / path)
    if path.name == "__init__.py":
        yield f"{'  ' * (depth - 1)}{path.parent.name + '/':<{32 - 2 * depth}} {sentence}"
    else:
        yield f"{'  ' * depth}{path.name:<{30 - 2 * depth}} {sentence}"


def first_sentence(path: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    return (text or "").partition("\n")[0].removesuffix(".")


if __name__ == "__main__":
    main()
