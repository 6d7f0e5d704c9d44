"""The only code that talks: data to stdout, everything else to stderr."""

import json
import os
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wsi_tools.errors import WsiToolsError

DEBUG = "WSITOOLS_DEBUG"

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def deliver(data: str | Mapping[str, Any]) -> None:
    """Write one line of data to stdout, at once: text as it is, a mapping as JSON."""
    line = data if isinstance(data, str) else json.dumps(data, default=str)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Write one line of talk to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Write one line that begins with ``warning:`` to stderr."""
    say(f"warning: {text}")


def counted(count: int, what: str) -> str:
    """Put a number before its noun: "1 store", "2 stores"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def complain(error: WsiToolsError) -> None:
    """Write an error; with --verbose, where it came from too."""
    if _tells_origins():
        traceback.print_exception(error)
    say(f"error: {error}")


def admit(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write an error that nobody raised on purpose; a hook for `sys.excepthook`."""
    if _tells_origins() or not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
    else:
        say(f"error: a bug in wsitools: {kind.__name__}: {error}; run it with -v and report that")


def _tells_origins() -> bool:
    return os.environ.get(DEBUG) == "1"


class ProgressBars:
    """A bar per item at work on a terminal; nothing where stderr is no terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bars = Progress(console=Console(stderr=True), transient=True)
            self._bars.start()
            self._tasks[""] = self._bars.add_task("slides", total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def step(self, name: str, stage: str, done: int, total: int) -> None:
        """An item is at `done` of `total` of a stage."""
        if self._bars is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name)
        self._bars.update(
            self._tasks[name], description=f"{name} {stage}", completed=done, total=total
        )

    def end(self, name: str) -> None:
        """An item has ended, well or not."""
        if self._bars is None:
            return
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        self._bars.advance(self._tasks[""])
