"""The row of starting: what the help costs, beside the library that prints it."""

import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from speed.row import Bench, Fact, Measured, Row
from speed.timing import Sample, in_turns

__all__ = ["ROWS"]

HELP = (sys.executable, "-m", "wsi_tools", "--help")
TYPER = (sys.executable, "-c", "import typer")


def started(command: Sequence[str]) -> Sample:
    """Wall and processor time of a process from its start to its end."""
    before, wall = _children_cpu(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"wall": time.perf_counter() - wall, "cpu": _children_cpu() - before}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def help_beside_typer(bench: Bench) -> Measured:
    """`wsitools --help`, beside importing typer."""
    told = subprocess.run(HELP, check=True, capture_output=True, text=True).stdout
    started(TYPER)
    pairs = in_turns(
        lambda: started(HELP), lambda: started(TYPER), bench.size.repeats, bench.size.least_s
    )
    facts = (Fact("it names the verbs", all(verb in told for verb in ("embed", "train"))),)
    return Measured(tuple(pairs), facts, "one process")


ROWS = (Row("help", "`wsitools --help`", "`import typer`", 3.5, 2.5, help_beside_typer, cost=True),)
