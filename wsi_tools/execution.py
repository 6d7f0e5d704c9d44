"""One function over many items, in worker processes that may die without taking the command along.

The supervisor (this process) imports nothing heavy, hands out one item at a time, and listens.
A worker that crashes or stops reporting costs its item and is replaced. A worker whose supervisor
is gone ends at once. Nothing is shared but a pipe for each worker: a lock that a killed process
held would stop all the others.
"""

import fcntl
import logging
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from multiprocessing.resource_tracker import ensure_running
from typing import Any, Generic, Protocol, TypeVar

from wsi_tools.errors import BusyError, InterruptedRunError, WsiToolsError

logger = logging.getLogger(__name__)

STALL_S = 900.0  # no decoder or batch seen took a tenth of this; a hang takes for ever
BUSY_PAUSE_S = 2.0
LISTEN_S = 0.25
GRACE_S = 10.0  # for a worker that was asked to stop, from its last sign of life
CLOSE_S = 2.0  # the same where the caller wants no more: killing costs one chunk at most
ASKING = (signal.SIGTERM, signal.SIGUSR1)  # schedulers send both to every process of a step

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
    """A request to stop, from a signal or a clock; each process has its own."""

    def __init__(self, seconds: float | None = None) -> None:
        self._asked = False
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def __call__(self, *_: object) -> None:
        """Ask for the stop; usable as a signal handler."""
        self._asked = True

    def asked(self) -> bool:
        """Whether to stop; a deadline that has passed asks too."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._asked = True
        return self._asked


def over(
    items: Iterable[Item],
    works: Sequence[Work],
    *,
    stop: Stop | None = None,
    stall_s: float = STALL_S,
) -> Iterator[Progress[Item] | Outcome[Item]]:
    """Do `work(item, report)` for every item; yield progress and outcomes as they come.

    Args:
        items: picklable; each is done once, except that an item another process holds
            (`BusyError`) is tried again until it is free.
        works: one for each worker process, which may differ in where they work, not in what comes
            of it. Picklable; each is kept by its worker, so what it loads once serves all its
            items.
        stop: ends the work early, between two steps of every worker; items not done by then are
            left out.
        stall_s: a worker silent for this long is taken for hung and killed.

    Closing this generator ends the workers within `CLOSE_S`: what they have committed stays.
    """
    crew = _Crew(deque(items), works, stop or Stop(), stall_s)
    try:
        yield from crew.run()
    finally:
        crew.dismiss()


def available_cores() -> int:
    """The cores this process may use: its affinity and its cgroup's quota, at least one."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(cores, _cgroup_cores()))


def computing_cores() -> int:
    """Those that PyTorch computes on: OMP_NUM_THREADS may allow fewer."""
    import torch  # the supervisor does without

    return min(available_cores(), torch.get_num_threads())


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
    work: Work
    item: Item | None = None
    stage: str = "open"
    silence: float = 0.0  # seconds of listening in vain; being suspended oneself does not count

    def give(self, item: Item) -> bool:
        """Hand an item out; False where the worker has died idle."""
        try:
            self.pipe.send(item)
        except (BrokenPipeError, ConnectionResetError):
            return False
        self.item, self.stage, self.silence = item, "open", 0.0
        return True

    def end(self, seconds: float = 0.0) -> int | None:
        """Wait for the process, then kill it; give its exit code (None: not even that helps)."""
        self.process.join(timeout=seconds)
        self.process.kill()
        self.process.join(timeout=CLOSE_S)  # reading from a dead disk cannot be killed
        self.pipe.close()
        code: int | None = self.process.exitcode
        return code


@dataclass
class _Crew(Generic[Item]):
    waiting: deque[Item]
    works: Sequence[Work]
    stop: Stop
    stall_s: float
    members: list[_Worker[Item]] = field(default_factory=list)
    resting: deque[tuple[float, Item]] = field(default_factory=deque)
    stopping: bool = False

    def run(self) -> Iterator[Progress[Item] | Outcome[Item]]:
        self.members = [self._hire(work) for work in self.works[: len(self.waiting)]]
        while self._hand_out():
            yield from self._listen()

    def dismiss(self) -> None:
        self._ask_to_stop()
        for member in self.members:
            member.pipe.close()
        until = time.monotonic() + CLOSE_S
        for member in self.members:
            member.end(max(0.0, until - time.monotonic()))

    def _hire(self, work: Work) -> _Worker[Item]:
        context = get_context("spawn")  # a forked torch deadlocks; a forked CUDA fails
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, work), daemon=False)
        with _signals_held_back():
            process.start()
        theirs.close()
        return _Worker(process, ours, work)

    def _hand_out(self) -> bool:
        """Give every idle worker an item; say whether anybody is at work or will be."""
        if self.stop.asked():
            self._stop()
        while self.resting and self.resting[0][0] <= time.monotonic():
            self.waiting.append(self.resting.popleft()[1])
        for member in self.members:
            if member.item is None and self.waiting and member.give(self.waiting[0]):
                self.waiting.popleft()
        at_work = any(member.item is not None for member in self.members)
        return at_work or bool(self.waiting or self.resting)

    def _stop(self) -> None:
        self.waiting.clear()
        self.resting.clear()
        if not self.stopping:
            self.stopping = True
            self.stall_s = min(self.stall_s, GRACE_S)
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        for member in self.members:
            member.silence = 0.0
            member.process.terminate()

    def _listen(self) -> Iterator[Progress[Item] | Outcome[Item]]:
        pipes: Sequence[connection.Connection] = [member.pipe for member in self.members]
        began = time.monotonic()
        ready = connection.wait(pipes, timeout=LISTEN_S)
        waited = min(time.monotonic() - began, 2 * LISTEN_S)
        for member in list(self.members):
            member.silence += waited
            if member.pipe in ready:
                yield from self._hear(member)
            elif member.item is not None and member.silence > self.stall_s:
                yield from self._replace(member, f"no sign of life for {self.stall_s:g} s")

    def _hear(self, member: _Worker[Item]) -> Iterator[Progress[Item] | Outcome[Item]]:
        try:
            kind, *content = member.pipe.recv()
        except (EOFError, OSError):
            yield from self._replace(member)
            return
        assert member.item is not None
        member.silence = 0.0
        if kind == "progress":
            member.stage = content[0]
            yield Progress(member.item, *content)
        else:
            item, member.item = member.item, None
            yield from self._conclude(item, kind, content[0])

    def _conclude(self, item: Item, kind: str, content: Any) -> Iterator[Outcome[Item]]:
        if kind == "busy":
            self.resting.append((time.monotonic() + BUSY_PAUSE_S, item))
        elif kind == "stopped":
            self.stop()
        elif kind == "done":
            yield Outcome(item, value=content)
        else:
            yield Outcome(item, failure=content)

    def _replace(self, member: _Worker[Item], why: str | None = None) -> Iterator[Outcome[Item]]:
        """Put another in the place of a worker that died, or hangs for the reason given."""
        code = member.end(CLOSE_S if why is None else 0.0)
        self.members.remove(member)
        if self.stop.asked():
            return
        if self.waiting or self.resting:
            self.members.append(self._hire(member.work))
        if member.item is not None:
            message = f"the worker process ended while on this slide: {why or _death(code)}"
            failure = Failure(member.stage, "WorkerDied", f"{message}; the others go on", 3)
            yield Outcome(member.item, failure=failure)


def _death(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "killed by SIGKILL (out of memory?)"
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Start a process that no signal reaches before it knows what to do with it."""
    ensure_running()  # here, for it clears the mask when it starts a process of its own
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ASKING})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection, work: Work) -> None:
    """The life of a worker: one item after the other until the pipe closes."""
    stop = Stop()
    _heed(stop)
    _end_with_the_parent()
    _hush()
    while True:
        try:
            item = pipe.recv()
            _answer(pipe, _attempt(work, item, _Reporter(pipe, stop)))
        except (EOFError, OSError):
            return


def _heed(stop: Stop) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the supervisor decides
    for number in ASKING:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, *ASKING})


@dataclass
class _Reporter:
    pipe: connection.Connection
    stop: Stop
    stage: str = "open"

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stage = stage
        if self.stop.asked():
            raise InterruptedRunError("stopped on request; run the same command again to continue")
        self.pipe.send(("progress", stage, done, total))


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


def _answer(pipe: connection.Connection, answer: tuple[str, Any]) -> None:
    try:
        pipe.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        failure = Failure("result", type(error).__name__, f"the result cannot be sent: {error}", 1)
        pipe.send(("failed", failure))


def _hush() -> None:
    """Keep other libraries' talk off the terminal, except for who looks for a bug."""
    if os.environ.get("WSITOOLS_DEBUG") == "1":
        logging.basicConfig(level=logging.INFO)
    else:
        logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(capture=True)


def _end_with_the_parent() -> None:
    """End when the supervisor does, whatever this process is doing then.

    The kernel sends SIGIO, which ends a process, when the other end of the supervisor's pipe
    closes: a thread would wait for a library that keeps the interpreter's lock. It is for systems
    whose pipes do not signal.
    """
    parent = parent_process()
    if parent is None:
        return
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)
