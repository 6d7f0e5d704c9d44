"""A store whose writing was killed, or taken over while its writer slept, before any operation.

Every seventh operation is tried here; the script tries all, about 170 of each kind, with stride 1.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scene import SAME_IMPORTS

SCRIPT = Path(__file__).with_name("interruptions.py")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: every file of a store is waited for on a disk."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def interruptions(
    folder: Path, fault: str, writing: str, *, first: int, stride: int
) -> list[dict[str, Any]]:
    """Interrupt every so-many-th operation; what each left wrong."""
    options = (fault, writing, str(first), str(stride))
    command = [sys.executable, str(SCRIPT), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=SAME_IMPORTS)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.faults
@pytest.mark.parametrize("writing", ["new", "overwritten"])
@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_an_interrupted_store_ends_equal_to_one_written_in_peace(
    memory: Path, fault: str, writing: str
):
    found = interruptions(memory, fault, writing, first=1, stride=7)
    assert len(found) >= 20
    assert [each for each in found if each["faults"]] == []
