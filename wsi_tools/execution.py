"""One function over many items, in worker processes that may die without taking the command along.

The supervisor (this process) imports nothing heavy, hands out one item at a time, and listens.
A worker that crashes or stops reporting costs its item and is replaced. A worker whose supervisor
is gone ends itself.
"""

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from typing import Any, Generic, Protocol, TypeVar

from wsi_tools.errors import BusyError, InterruptedRunError, WsiToolsError

logger = logging.getLogger(__name__)

STALL_S = 900.0  # no decoder or batch seen took a tenth of this; a hang takes for ever
BUSY_PAUSE_S = 1.0

Item = TypeVar("Item")


class Report(Protocol):
    """What a worker calls to show that it is getting on; it raises when it should stop."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of a stage are done."""


Work = Callable[[Any, Report], Any]


@dataclass(frozen=True)
class Failure:
    """Why one item failed: where it was, what was raised, and the exit code that error has."""

    stage: str
    error: str
    message: str
    exit_code: int


@dataclass(frozen=True)
class Progress(Generic[Item]):
    """An item is getting on: `done` of `total` steps of a stage."""

    item: Item
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """An item has ended: with a value, or with a failure."""

    item: Item
    value: Any = None
    failure: Failure | None = None


class Stop:
    """A request to stop, from a signal or a clock, that workers see between two steps."""

    def __init__(self, seconds: float | None = None) -> None:
        self.event = get_context("spawn").Event()
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def __call__(self, *_: object) -> None:
        """Ask for the stop; usable as a signal handler."""
        self.event.set()

    def asked(self) -> bool:
        """Whether to stop; a deadline that has passed asks too."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.event.set()
        return self.event.is_set()


def over(
    items: Iterable[Item],
    work: Work,
    *,
    workers: int = 1,
    stop: Stop | None = None,
    stall_s: float = STALL_S,
) -> Iterator[Progress[Item] | Outcome[Item]]:
    """Do `work(item, report)` for every item; yield progress and outcomes as they come.

    Args:
        items: picklable; each is done once, except that an item another process holds
            (`BusyError`) is tried again until it is free.
        work: picklable; kept by its worker, so what it loads once serves all its items.
        workers: how many processes.
        stop: ends the work early; items not begun are then left out.
        stall_s: a worker silent for this long is taken for hung and killed.
    """
    crew = _Crew(deque(items), work, stop or Stop(), stall_s)
    try:
        yield from crew.run(workers)
    finally:
        crew.dismiss()


def available_cores() -> int:
    """The cores this process may use: its affinity and its cgroup's quota, at least one."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(cores, _cgroup_cores()))


def _cgroup_cores() -> int:
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:  # noqa: PTH123 a kernel file, not a path of ours
            quota, period = file.read().split()
        return int(quota) // int(period)
    except (OSError, ValueError):
        return 1_000_000


@dataclass
class _Worker(Generic[Item]):
    process: Any
    pipe: connection.Connection
    item: Item | None = None
    stage: str = "open"
    heard: float = field(default_factory=time.monotonic)


@dataclass
class _Crew(Generic[Item]):
    waiting: deque[Item]
    work: Work
    stop: Stop
    stall_s: float
    members: list[_Worker[Item]] = field(default_factory=list)
    resting: deque[tuple[float, Item]] = field(default_factory=deque)

    def run(self, workers: int) -> Iterator[Progress[Item] | Outcome[Item]]:
        self.members = [self._hire() for _ in range(min(workers, len(self.waiting)))]
        while self._hand_out():
            yield from self._listen()

    def dismiss(self) -> None:
        for member in self.members:
            member.pipe.close()
        for member in self.members:
            member.process.join(timeout=0.5)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()

    def _hire(self) -> _Worker[Item]:
        context = get_context("spawn")  # a forked torch deadlocks; a forked CUDA fails
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.work, self.stop), daemon=False)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _hand_out(self) -> bool:
        """Give every idle worker an item; say whether anybody is at work or will be."""
        if self.stop.asked():
            self.waiting.clear()
            self.resting.clear()
        while self.resting and self.resting[0][0] <= time.monotonic():
            self.waiting.append(self.resting.popleft()[1])
        for member in self.members:
            if member.item is None and self.waiting:
                member.item, member.heard = self.waiting.popleft(), time.monotonic()
                member.pipe.send(member.item)
        return bool(self.resting) or any(member.item is not None for member in self.members)

    def _listen(self) -> Iterator[Progress[Item] | Outcome[Item]]:
        pipes: Sequence[connection.Connection] = [member.pipe for member in self.members]
        ready = connection.wait(pipes, timeout=BUSY_PAUSE_S / 4)
        for place, member in enumerate(self.members):
            if member.pipe in ready:
                yield from self._hear(place, member)
            elif member.item is not None and time.monotonic() - member.heard > self.stall_s:
                member.process.kill()
                yield self._bury(place, member, f"no sign of life for {self.stall_s:.0f} s")

    def _hear(self, place: int, member: _Worker[Item]) -> Iterator[Progress[Item] | Outcome[Item]]:
        item = member.item
        try:
            kind, *content = member.pipe.recv()
        except (EOFError, OSError):
            member.process.join()
            if item is not None:
                yield self._bury(place, member, _death(member.process.exitcode))
            return
        assert item is not None
        member.heard = time.monotonic()
        if kind == "progress":
            member.stage = content[0]
            yield Progress(item, *content)
        else:
            member.item = None
            yield from self._conclude(item, kind, content[0])

    def _conclude(self, item: Item, kind: str, content: Any) -> Iterator[Outcome[Item]]:
        if kind == "busy":
            self.resting.append((time.monotonic() + BUSY_PAUSE_S, item))
        elif kind == "done":
            yield Outcome(item, value=content)
        elif kind == "failed":
            yield Outcome(item, failure=content)

    def _bury(self, place: int, member: _Worker[Item], how: str) -> Outcome[Item]:
        assert member.item is not None
        member.process.join()
        member.pipe.close()
        self.members[place] = self._hire()
        message = f"the worker process ended while on this slide: {how}; the others go on"
        return Outcome(member.item, failure=Failure(member.stage, "WorkerDied", message, 3))


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"


def _serve(pipe: connection.Connection, work: Work, stop: Stop) -> None:
    """The life of a worker: one item after the other until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the supervisor decides
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _hush()
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_attempt(work, item, _Reporter(pipe, stop)))


@dataclass
class _Reporter:
    pipe: connection.Connection
    stop: Stop
    stage: str = "open"

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stage = stage
        self.pipe.send(("progress", stage, done, total))
        if self.stop.asked():
            raise InterruptedRunError("stopped on request; run the same command again to continue")


def _attempt(work: Work, item: Any, report: _Reporter) -> tuple[str, Any]:
    """The one place where any error of a slide becomes a record instead of the end of the run."""
    try:
        return "done", work(item, report)
    except BusyError:
        return "busy", None
    except InterruptedRunError:
        return "stopped", None
    except WsiToolsError as error:
        return "failed", Failure(report.stage, type(error).__name__, str(error), error.exit_code)
    except Exception as error:
        logger.exception("unexpected")
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return "failed", Failure(report.stage, type(error).__name__, text, 1)


def _hush() -> None:
    """Keep other libraries' talk off the terminal, except for who looks for a bug."""
    if os.environ.get("WSITOOLS_DEBUG") == "1":
        logging.basicConfig(level=logging.INFO)
    else:
        logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(capture=True)


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
