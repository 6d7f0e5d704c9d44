"""Two ways of doing one thing, timed in turns, so that what slows the machine slows both."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from speed.sizes import Size

__all__ = ["Contender", "Pair", "Sample", "Spread", "alternate", "in_turns", "spread", "timed"]

MOST = 40

Sample = Mapping[str, float]
"""What one run took: ``wall`` and ``cpu`` in seconds, or ``mib``."""

Contender = Callable[[ExitStack], Callable[[], object]]
"""Sets itself up on the stack, untimed, and gives what is timed."""


@dataclass(frozen=True)
class Pair:
    """Two runs, one right after the other."""

    ours: Sample
    beside: Sample


@dataclass(frozen=True)
class Spread:
    """The median, the lowest and the highest of some values."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Summarise values."""
    return Spread(statistics.median(values), min(values), max(values))


def alternate(ours: Contender, beside: Contender, *, size: Size) -> tuple[Pair, ...]:
    """Time two contenders in turns, each in a set-up of its own.

    Args:
        ours: one.
        beside: the other.
        size: how often; whether each runs once before, untimed, so that caches fill and kernels
            are chosen.
    """
    if size.warm:
        for contender in (ours, beside):
            timed(contender)
    return tuple(in_turns(lambda: timed(ours), lambda: timed(beside), size.repeats, size.least_s))


def in_turns(
    ours: Callable[[], Sample], beside: Callable[[], Sample], repeats: int, least_s: float = 0.0
) -> Iterator[Pair]:
    """Take samples in turns; every second pair begins with the other side.

    Args:
        ours: takes one.
        beside: takes the other.
        repeats: pairs, at least.
        least_s: short runs are repeated for so many seconds, up to `MOST` pairs.
    """
    began = time.perf_counter()
    for number in range(MOST):
        if number >= repeats and time.perf_counter() - began >= least_s:
            return
        if number % 2:
            second, first = beside(), ours()
        else:
            first, second = ours(), beside()
        yield Pair(first, second)


def timed(contender: Contender) -> Sample:
    """One run: wall time, and processor time of all threads of this process."""
    with ExitStack() as stack:
        work = contender(stack)
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
