"""The start page, typed as it stands: every block runs, and prints what the page shows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "pages" / "start.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """(language, code, what it prints or None), in order."""
    found = BLOCK.findall(PAGE.read_text())
    followers = [*found[1:], ("", "")]
    return [
        (language, code, shown if kind == "text" else None)
        for (language, code), (kind, shown) in zip(found, followers, strict=True)
        if language != "text"
    ]


@pytest.fixture
def checkout(tmp_path):
    """A folder as the reader's: the sample data, and the command on the path."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    command = tmp_path / "bin" / "wsitools"
    command.parent.mkdir()
    if installed := shutil.which("wsitools", path=Path(sys.executable).parent):
        command.symlink_to(installed)
    else:
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m wsi_tools "$@"\n')
        command.chmod(0o755)
    return tmp_path


@pytest.mark.slow
def test_every_block_runs_and_prints_what_the_page_shows(checkout):
    path = os.pathsep.join((str(checkout / "bin"), str(Path(sys.executable).parent)))
    environment = os.environ | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    shells = {"sh": ["sh", "-e", "-c"], "python": [sys.executable, "-c"]}
    for language, code, shown in blocks():
        done = subprocess.run(
            [*shells[language], code],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        assert shown is None or done.stdout == shown, code
    assert (checkout / "project" / "overlays" / "colon_c.png").is_file()


def test_the_page_goes_from_a_slide_to_numbers():
    languages = [language for language, _, _ in blocks()]
    assert languages.count("sh") == 5
    assert languages[-1] == "python"
