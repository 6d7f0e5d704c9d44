"""Slides through a work, told on the terminal: results, failures, signals and the exit code."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from wsi_tools import errors
from wsi_tools.cli import terminal
from wsi_tools.errors import (
    IncompleteError,
    InputError,
    InterruptedRunError,
    StoreError,
    UnavailableError,
    WeightsError,
)
from wsi_tools.execution import STALL_S, Failure, Outcome, Progress, Stop, Work, over
from wsi_tools.preparation import Task
from wsi_tools.slide.discovery import Source
from wsi_tools.store.disk import naming_the_disk
from wsi_tools.store.project import FailureRecord, Project

# What no other slide could do better: the run ends at once, with the code of the error.
FATAL = (InputError, UnavailableError, WeightsError)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Run:
    """One command over many slides; what fails is told, recorded, and counted at the end.

    Args:
        works: one for each worker process; tasks go to whichever is free.
        fail_fast: stop at the first failure.
        time_limit: as `seconds` reads it.
        stall_s: seconds without a sign of life after which a slide fails.
        record: keep failures in the project's list, and take successes out of it.
        what: what one of them is called.
    """

    def __init__(
        self,
        works: Sequence[Work],
        *,
        fail_fast: bool = False,
        time_limit: str | None = None,
        stall_s: float = STALL_S,
        record: bool = True,
        what: str = "slide",
    ) -> None:
        self.works = works
        self.fail_fast = fail_fast
        self.stall_s = stall_s
        self.record = record
        self.what = what
        self.stop = Stop(seconds(time_limit))
        self.failures: list[Failure] = []
        self.done = 0

    @classmethod
    def asked(cls, works: Sequence[Work], given: Mapping[str, Any]) -> "Run":
        """As the options say that verbs of many slides share; a dry run records nothing."""
        return cls(
            works,
            fail_fast=given["fail_fast"],
            time_limit=given["time_limit"],
            stall_s=given["stall_limit"],
            record=not given["dry_run"],
        )

    def results(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
        """Yield (task, result) for every slide that succeeds.

        Raises:
            WsiToolsError: at the end, if a slide failed or the run was stopped; at once, if
                nothing could succeed.
        """
        with _heeding(self.stop) as signals, terminal.ProgressBars(len(tasks)) as bars:
            for event in self._events(tasks):
                if isinstance(event, Progress):
                    bars.step(event.item.slide_id, event.stage, event.done, event.total)
                    continue
                bars.end(event.item.slide_id)
                if event.failure is None:
                    self._forget(event.item)
                    self.done += 1
                    yield event.item, event.value
                elif not (signals and event.failure.error == "WorkerDied"):  # it heard them too
                    self.fail(event.item, event.failure)
        self._conclude(signals)

    def refuse(self, slides: Sequence[tuple[Path, str]], out: Path | None) -> None:
        """Fail slides that cannot even begin, each with its reason."""
        for path, reason in slides:
            source = Source(path, path.stem)
            task = Task(source, Project(out or Path()).store(source.slide_id))
            self.fail(task, Failure("name", "DataError", f"{path}: {reason}", 4))

    def _events(self, tasks: Sequence[Task]) -> Iterator[Progress[Task] | Outcome[Task]]:
        return over(tasks, self.works, stop=self.stop, stall_s=self.stall_s)

    def fail(self, task: Task, failure: Failure) -> None:
        """Tell a failure and record it; raise where going on is pointless."""
        kind = getattr(errors, failure.error, None)
        if kind in FATAL:
            raise kind(failure.message)
        terminal.say(f"failed: {task.slide_id}: {failure.stage}: {failure.message}")
        self.failures.append(failure)
        if self.record:
            _record(task, failure)
        if self.fail_fast:
            self.stop()

    def _forget(self, task: Task) -> None:
        if self.record:
            _project(task).record_success(task.slide_id)

    def _conclude(self, signals: list[int]) -> None:
        if signal.SIGINT in signals:
            terminal.say("interrupted; run the same command again to continue")
            raise typer.Exit(130)
        if self.stop.asked() and not (self.fail_fast and self.failures):
            raise InterruptedRunError("stopped on request; run the same command again to continue")
        if any(failure.error == StoreError.__name__ for failure in self.failures):
            raise StoreError(
                f"{self._count()}: a store there is another request's, torn, or lacks what is asked"
            )
        if self.failures:
            others = "; the others are done" if self.done else ""
            raise IncompleteError(f"{self._count()}{others}")

    def _count(self) -> str:
        return f"{terminal.counted(len(self.failures), self.what)} failed"


def seconds(text: str | None) -> float | None:
    """Read ``H:MM:SS``, ``MM:SS`` or seconds.

    Raises:
        InputError: it is none of these.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        raise InputError(f"--time-limit {text}: give H:MM:SS or seconds") from None
    return sum(part * 60.0**place for place, part in enumerate(reversed(parts)))


@contextmanager
def _heeding(stop: Stop) -> Iterator[list[int]]:
    """Let signals ask for the stop; a second Ctrl-C ends everything as usual."""
    seen: list[int] = []

    def heed(number: int, _: object) -> None:
        seen.append(number)
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, heed) for number in ENDING}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _record(task: Task, failure: Failure) -> None:
    project = _project(task)
    with naming_the_disk(project.path):
        project.record_failure(
            FailureRecord(
                slide_id=task.slide_id,
                path=str(task.source.path),
                stage=failure.stage,
                error=failure.error,
                message=failure.message,
            )
        )


def _project(task: Task) -> Project:
    return Project(task.store.parent)
