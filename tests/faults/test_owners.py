"""Many processes want one slide; some are put to sleep past their lease, some are killed."""

import os
import signal
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import pytest
from scene import SAME_IMPORTS

SCRIPT = Path(__file__).with_name("owners.py")
EXPIRY_S = 0.3
KILLED_TURNS = (2, 4)
TURNS = 8


def started(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(folder), str(EXPIRY_S)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=SAME_IMPORTS)


@pytest.mark.faults
def test_a_slide_has_one_owner_at_a_time_though_owners_sleep_and_die(tmp_path):
    traces = tmp_path / "traces"
    traces.mkdir()
    owners = [started(tmp_path) for _ in range(5)]
    try:
        trouble_owners(traces, owners)
    finally:
        (tmp_path / "enough").touch()
    errors = [each.communicate()[1] for each in owners]
    assert [each for each in errors if each] == []
    assert [each.returncode for each in owners].count(-signal.SIGKILL) == len(KILLED_TURNS)
    assert_one_at_a_time(sorted(path.name for path in traces.iterdir()))
    assert list((tmp_path / "leases").iterdir()) == []


def trouble_owners(traces: Path, owners: list[subprocess.Popen[bytes]]) -> None:
    """Take turns at whoever left the last trace."""
    turn = 0
    while turn < TURNS:
        time.sleep(0.1)
        owner = owner_of(traces)
        if owner in {each.pid for each in owners if each.poll() is None}:
            turn += 1
            trouble(owner, kill=turn in KILLED_TURNS)


def trouble(owner: int, *, kill: bool) -> None:
    """Kill an owner, or let it sleep past its lease."""
    if kill:
        os.kill(owner, signal.SIGKILL)
    else:
        os.kill(owner, signal.SIGSTOP)
        time.sleep(2 * EXPIRY_S)
        os.kill(owner, signal.SIGCONT)


def owner_of(traces: Path) -> int:
    """The process that left the last trace."""
    last = max((path for path in traces.glob("[0-9]*")), default=None)
    return int(last.read_text()) if last else 0


def assert_one_at_a_time(names: list[str]) -> None:
    """Ownerships do not interleave: one who was taken over leaves no trace afterwards."""
    traces = [name.split("-")[1:] for name in names]
    turns = [list(turn) for _, turn in groupby(traces, key=lambda trace: trace[0])]
    assert len(turns) == len({turn[0][0] for turn in turns})
    assert len(turns) > TURNS
    whole = ["begin", "step", "step", "end"]
    for turn in turns:
        assert [step for _, step in turn] == whole[: len(turn)]
