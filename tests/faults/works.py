"""What the supervisor's tests give its workers to do; each takes an item and a report."""

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

from wsi_tools.errors import BusyError, SlideError
from wsi_tools.execution import Report


class UnspeakableError(Exception):
    """An error that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("unspeakable")
        self.held = open(os.devnull)  # noqa: PTH123, SIM115 a thing that cannot be pickled


def doubled(item: int, report: Report) -> int:
    """Do it well, in two steps."""
    report("double", 0, 1)
    report("double", 1, 1)
    return 2 * item


def pid(item: int, report: Report) -> int:
    """Say which process does it."""
    time.sleep(0.05)
    return os.getpid()


def somewhere(place: str, item: str, report: Report) -> str:
    """Say where it is done, or die there."""
    if item == "die":
        os._exit(1)
    time.sleep(0.05)
    return place


def troubled(item: str, report: Report) -> Any:
    """Do what the item says."""
    report("trouble", 0, 1)
    return TROUBLES[item](report)


def steps(folder: str, report: Report) -> None:
    """Take a minute in steps of a tenth of a second; leave a file with the process's number."""
    place = Path(folder, str(os.getpid()))
    place.touch()
    for step in range(600):
        report("steps", step, 600)
        time.sleep(0.1)
    place.unlink()


def deaf(folder: str, report: Report) -> None:
    """Leave a file with the process's number, and keep the interpreter's lock for minutes."""
    report("deaf", 0, 1)
    Path(folder, str(os.getpid())).touch()
    re.match(r"(a+)+$", "a" * 48 + "b")


def free_later(item: str, report: Report) -> str:
    """Be busy until somebody else removes the file."""
    if Path(item).exists():
        raise BusyError(f"{item}: held")
    return "taken"


def idle_death(item: int, report: Report) -> int:
    """Die after the item was done, while waiting for the next."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    return item


def _crash(_: Report) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _exit(_: Report) -> None:
    os._exit(7)


def _hang(_: Report) -> None:
    time.sleep(600)


def _fail(_: Report) -> None:
    raise SlideError("case.svs: torn; scan it again")


def _bug(_: Report) -> None:
    raise KeyError("no such thing")


def _speechless(_: Report) -> None:
    raise UnspeakableError


def _unpicklable(_: Report) -> Any:
    return lambda: None


def _memory(_: Report) -> None:
    raise MemoryError


def _well(_: Report) -> str:
    return "well"


TROUBLES = {
    "crash": _crash,
    "exit": _exit,
    "hang": _hang,
    "fail": _fail,
    "bug": _bug,
    "speechless": _speechless,
    "unpicklable": _unpicklable,
    "memory": _memory,
    "well": _well,
}
