"""Who may write to a slide's store: a lease, with a fence for those who lost theirs.

A lease is a numbered record, ``<project>/.leases/<slide_id>/<generation>``, created exclusively;
the highest generation owns the slide. An owner rewrites its record every few seconds. Whoever
finds a record unchanged for `EXPIRY_S` of *its own* clock (hosts' clocks may differ), or made by
a process of this machine that is gone, may create the next generation, which only one can do.

The fence: before every write that others can see, an owner calls `Lease.check`, and what it
writes lies in folders that carry its token until they are complete. A worker that sleeps past
its lease and wakes finds its folder renamed and its record superseded; it commits nothing.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from wsi_tools.errors import BusyError

BEAT_S = 5.0
EXPIRY_S = 60.0


@dataclass
class Lease:
    """The right to write one slide's store, until released or taken over."""

    record: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _beats: int = 0

    @property
    def slide_id(self) -> str:
        """The slide that the lease is for."""
        return self.record.parent.name

    def check(self) -> None:
        """Raise `BusyError` unless this lease still owns the slide."""
        try:
            mine = self.record.read_text().startswith(self.token)
        except FileNotFoundError:
            mine = False
        if not mine or _newest(self.record.parent) != self.record:
            raise BusyError(f"{self.slide_id}: another worker took this slide over")

    def beat(self) -> None:
        """Show that the owner lives, by changing the record in place (never creating it)."""
        self._beats += 1
        with self.record.open("r+") as file:
            file.write(self._text())

    def release(self) -> None:
        """Give the slide back; releasing a lease that was lost does nothing."""
        with suppress(BusyError, OSError):
            self.check()
            self.record.unlink()
            self.record.parent.rmdir()

    def _text(self) -> str:
        return f"{self.token} {_identity()} {self._beats:012d}\n"


@contextmanager
def lease(leases: Path, slide_id: str, *, expiry_s: float = EXPIRY_S) -> Iterator[Lease]:
    """Hold the lease of a slide, beating in the background.

    Raises:
        BusyError: another worker holds it and shows signs of life.
    """
    held = acquire(leases, slide_id, expiry_s=expiry_s)
    stop = threading.Event()
    beats = threading.Thread(target=_keep_beating, args=(held, stop), daemon=True)
    beats.start()
    try:
        yield held
    finally:
        stop.set()
        beats.join()
        held.release()


def acquire(leases: Path, slide_id: str, *, expiry_s: float = EXPIRY_S) -> Lease:
    """Take a free, abandoned or expired lease, watching a living one for up to `expiry_s`."""
    folder = leases / slide_id
    current = _newest(folder)
    if current is not None and not _abandoned(current, expiry_s):
        raise BusyError(f"{slide_id}: another worker holds this slide ({current})")
    return _create(folder, _generation(current) + 1)


def is_free(leases: Path, slide_id: str) -> bool:
    """Whether nobody alive on this machine, nor anybody elsewhere, holds the slide."""
    current = _newest(leases / slide_id)
    return current is None or _owner_is_gone(current)


def _create(folder: Path, generation: int) -> Lease:
    mine = Lease(folder / str(generation))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with mine.record.open("x") as file:
            file.write(mine._text())
    except (FileExistsError, FileNotFoundError):  # another was first, or removed the empty folder
        raise BusyError(f"{folder.name}: another worker took this slide first") from None
    for older in folder.iterdir():
        if _generation(older) < generation:
            older.unlink(missing_ok=True)
    return mine


def _newest(folder: Path) -> Path | None:
    try:
        return max(folder.iterdir(), key=_generation, default=None)
    except FileNotFoundError:
        return None


def _generation(record: Path | None) -> int:
    return int(record.name) if record is not None and record.name.isdigit() else 0


def _abandoned(record: Path, expiry_s: float) -> bool:
    """Watch a record until it changes (False) or its time is up on our own clock (True)."""
    seen, since = _read(record), time.monotonic()
    while not _owner_is_gone(record):
        if time.monotonic() - since >= expiry_s:
            return True
        time.sleep(min(BEAT_S / 5, expiry_s / 10))
        if _read(record) != seen:
            return False
    return True


def _read(record: Path) -> str:
    try:
        return record.read_text()
    except FileNotFoundError:
        return ""


def _owner_is_gone(record: Path) -> bool:
    """Whether the owner was a process of this machine that has ended."""
    fields = _read(record).split()
    if len(fields) != 4 or fields[1] != _machine():
        return False
    pid, _, started = fields[2].partition(":")
    return _started(int(pid)) != started


def _identity() -> str:
    return f"{_machine()} {os.getpid()}:{_started(os.getpid())}"


def _machine() -> str:
    """The host and its boot: a process number means something only together with these."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}"
    return socket.gethostname()


def _started(pid: int) -> str:
    """When a process began, in clock ticks: numbers of processes are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[19]


def _keep_beating(held: Lease, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        try:
            held.beat()
        except OSError:  # taken over: `check` tells the owner before its next write
            return
