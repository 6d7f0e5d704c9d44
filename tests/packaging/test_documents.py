"""The documents and the code say the same."""

import ast
import re
import runpy
import shlex
import tomllib

import pytest
import typer
import yaml

from wsi_tools import errors
from wsi_tools.cli import app
from wsi_tools.slide.discovery import SUFFIXES
from wsi_tools.slide.opening import auto_order
from wsi_tools.tissue import PRESETS, SEGMENTERS

PROGRAM = typer.main.get_command(app)
FENCED = re.compile(r"^```(?:sh|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
VARIABLE = re.compile(r"(?:CUDA|HF|HTTPS?|NO|OMP|SLURM|TORCH|WSITOOLS)_[A-Z_]+")


@pytest.fixture(scope="module")
def pages(root):
    return root / "docs" / "pages"


@pytest.fixture(scope="module")
def documents(root, pages):
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted(pages.rglob("*.md"))]


@pytest.fixture(scope="module")
def generator(root):
    return runpy.run_path(str(root / "docs" / "generate.py"))


def test_the_command_reference_is_what_the_code_says(generator, pages):
    page = (pages / "reference" / "cli.md").read_text()
    assert page == generator["command_reference"](), "run: python docs/generate.py"


def test_the_readme_ends_with_the_tree_of_today(generator, root):
    readme = (root / "README.md").read_text()
    assert readme == generator["with_tree"](readme), "run: python docs/generate.py"
    assert all(
        f"{path.name} " in readme or path.name == "__init__.py"
        for path in root.glob("wsi_tools/**/*.py")
    )


@pytest.mark.parametrize("verb", PROGRAM.commands)
def test_every_verb_and_option_has_help(verb):
    command = PROGRAM.commands[verb]
    assert command.help
    assert [each.name for each in command.params if not each.help] == []


@pytest.mark.parametrize("verb", PROGRAM.commands)
def test_every_verb_stands_in_a_page_that_nobody_generated(verb, documents):
    written = [path.read_text() for path in documents if path.name != "cli.md"]
    assert any(f"wsitools {verb}" in text for text in written)


def test_every_command_line_in_the_documents_can_be_typed(documents):
    typed = [line for path in documents for line in command_lines(path.read_text())]
    assert len(typed) > 20
    for line in typed:
        words = shlex.split(line, comments=True)
        verb = PROGRAM.commands[words[1]]
        known = {name for each in verb.params for name in (*each.opts, *each.secondary_opts)}
        flags = {word for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert flags <= known, line


def command_lines(text):
    """The lines of fenced blocks that call the program with a verb, each up to a pipe."""
    for block in FENCED.findall(text):
        for line in block.splitlines():
            if found := re.match(r"\s*(?:[A-Z_]+=\S+ )*(wsitools [a-z][^|(]*)", line):
                yield found[1]


def test_every_variable_in_the_code_is_on_the_page(root, pages):
    page = (pages / "reference" / "environment.md").read_text()
    literals = {
        node.value
        for path in [*root.glob("wsi_tools/**/*.py"), root / "tests" / "conftest.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    read = {text for text in literals if VARIABLE.fullmatch(text)}
    assert {"SLURM_ARRAY_TASK_ID", "WSITOOLS_DEBUG", "WSITOOLS_TEST_DATA"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []


def test_nothing_reads_the_environment_by_another_way(root):
    """So that the test above sees every name: no getenv, no name put together from parts."""
    calls = re.compile(r"getenv|environ\[[^\"'\w]|environ\.get\([^\"'\w]")
    guilty = [p.name for p in root.glob("wsi_tools/**/*.py") if calls.search(p.read_text())]
    assert guilty == []


def test_the_error_tree_is_the_classes(pages):
    drawn = tree_of(errors.__doc__)
    real = {
        name: getattr(errors, name).__mro__[1].__name__
        for name in errors.__all__
        if name != "WsiToolsError"
    }
    assert drawn == real
    shown = "\n".join(line.strip() for line in errors.__doc__.splitlines())
    block = re.search(r"```text\n(WsiToolsError.*?)```", page := read_errors(pages), re.DOTALL)
    assert block[1].strip() in shown
    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    assert [code for code in sorted(codes) if f"| {code} |" not in page] == []


def read_errors(pages):
    return (pages / "reference" / "errors.md").read_text()


def tree_of(text):
    """Child -> parent, from the box drawing in a docstring."""
    parents, path = {}, []
    for line in text.splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            if depth:
                parents[found[2]] = path[depth - 1]
    return parents


def test_every_dependency_has_a_line_on_the_page_and_no_other_has(root, pages):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    declared = {re.match(r"[\w-]+", text)[0] for text in (*project["dependencies"], *extras)}
    page = (pages / "reference" / "dependencies.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == declared


def test_the_page_of_readers_lists_the_suffixes_and_the_rule(pages, tmp_path):
    page = (pages / "reference" / "readers.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("`.svs"))
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    assert sorted(line.strip("`").split()) == sorted(known)
    (plain := tmp_path / "a.bin").write_bytes(b"no TIFF")
    order = ", ".join(f"`{name}`" for name in auto_order(plain))
    assert f"| anything else | {order} |" in page


def test_the_page_of_tissue_lists_the_methods_and_the_numbers_of_the_presets(pages):
    page = (pages / "reference" / "tissue.md").read_text()
    assert [name for name in SEGMENTERS if f"| `{name}` |" not in page] == []
    for name, preset in PRESETS.items():
        numbers = (
            f"{preset.min_area_um2:g} µm² | {preset.min_hole_area_um2:g} µm² | {preset.close_um:g}"
        )
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {numbers} µm |" in row


def test_every_page_is_in_the_menu_and_every_link_leads_to_a_file(root, pages, documents):
    menu = (root / "docs" / "mkdocs.yml").read_text()
    listed = {page for page in re.findall(r"[\w/-]+\.md", menu) if yaml.safe_load(menu)["docs_dir"]}
    assert listed == {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    broken = [
        f"{path.name}: {target}"
        for path in documents
        for target in LINK.findall(path.read_text())
        if not target.startswith("http") and not (path.parent / target).exists()
    ]
    assert broken == []


def test_pictures_are_small(pages):
    assert [p.name for p in pages.rglob("*.png") if p.stat().st_size > 150_000] == []
