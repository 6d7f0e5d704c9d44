"""Help, and the package's door, load nothing heavy."""

import json
import subprocess
import sys

import pytest
import typer

from wsi_tools.cli import app
from wsi_tools.cli.announced import VERBS as ANNOUNCED

HEAVY = {"cv2", "numpy", "pandas", "skimage", "tifffile", "timm", "torch", "zarr"}
VERBS = sorted(typer.main.get_command(app).commands)
ASK = """
import json, sys
from wsi_tools.cli import app
try:
    app(json.loads(sys.argv[1]), prog_name="wsitools")
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [[], *([verb] for verb in VERBS)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    loaded = modules_after(ASK, json.dumps([*arguments, "--help"]))
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_the_list_of_verbs_imports_none_of_them():
    loaded = modules_after(ASK, json.dumps(["--help"]))
    assert loaded & {f"wsi_tools.cli.{verb.module}" for verb in ANNOUNCED.values()} == set()


@pytest.mark.parametrize("name", ANNOUNCED)
def test_a_verb_is_announced_by_its_own_first_line(name):
    verb = typer.main.get_command(app).commands[name]
    assert verb.name == name
    assert verb.help.splitlines()[0] == ANNOUNCED[name].says


def test_importing_the_package_loads_neither_a_room_nor_a_dependency():
    code = "import json, sys, wsi_tools; print(json.dumps(sorted(sys.modules)))"
    loaded = modules_after(code)
    assert {name for name in loaded if name.startswith("wsi_tools")} == {"wsi_tools"}
    assert loaded & (HEAVY | {"typer", "pydantic"}) == set()
