"""The wheel: what is in it, and that the command it installs is the one of the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow


def test_the_wheel_holds_the_package_and_nothing_else(wheel, root):
    names = zipfile.ZipFile(wheel).namelist()
    package = {name for name in names if not name.startswith("wsitools-")}
    sources = {path.relative_to(root).as_posix() for path in root.glob("wsi_tools/**/*.py")}
    pages = {path.relative_to(root).as_posix() for path in root.glob("wsi_tools/*/templates/*")}
    assert package == sources | pages | {"wsi_tools/py.typed"}


def test_the_wheel_names_one_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (place,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert archive.read(place).decode().split() == [
        "[console_scripts]",
        "wsitools",
        "=",
        "wsi_tools.cli:app",
    ]


def test_the_wheel_brings_its_licence_and_its_requirements(wheel, root):
    archive = zipfile.ZipFile(wheel)
    (place,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    metadata = Parser().parsestr(archive.read(place).decode())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert archive.read(place.replace("METADATA", "licenses/LICENSE")) == (
        (root / "LICENSE").read_bytes()
    )
    always = [text for text in metadata.get_all("Requires-Dist") if "extra ==" not in text]
    assert sorted(always) == sorted(str(Requirement(text)) for text in project["dependencies"])


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_the_installed_command_the_module_and_the_checkout_say_the_same(
    installed, root, tmp_path, arguments
):
    environment = os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "100"}
    ways = (
        [str(installed / "bin" / "wsitools")],
        ["-m", "wsi_tools"],
        [str(root / "cli.py")],
    )
    said = [
        subprocess.run(
            [sys.executable, *way, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=True,
        ).stdout
        for way in ways
    ]
    assert said[0] == said[1] == said[2]
    assert "wsitools" in said[0] or arguments == ["--version"]
