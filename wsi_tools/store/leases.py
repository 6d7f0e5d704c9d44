"""Who may write to a slide's store: a lease, with a fence for those who lost theirs.

A lease is a numbered record, ``<project>/.leases/<slide_id>/<generation>``, created exclusively;
the highest generation owns the slide. An owner rewrites its record every few seconds. Whoever
has seen a record unchanged for `EXPIRY_S` of *its own* clock (hosts' clocks may differ), or made
by a process of this machine that is gone, may create the next generation, which only one can do.

Nobody waits for a lease: `lease` takes it or says at once that the slide is busy. What has been
seen of a living one is kept in a `Watch` between attempts.

The fence: before every write that others can see, an owner calls `Lease.check`, and what it
writes lies under names that carry its token until it is complete (`wsi_tools.store.files`).
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from wsi_tools.errors import BusyError

EXPIRY_S = 60.0
BEATS_PER_EXPIRY = 12


@dataclass
class Watch:
    """How long leases have stood unchanged, by the clock of whoever keeps this."""

    expiry_s: float = EXPIRY_S
    _seen: dict[Path, tuple[str, float]] = field(default_factory=dict)

    def is_expired(self, record: Path) -> bool:
        """Look at a record once; whether it has not changed for too long."""
        now, text = time.monotonic(), _read(record)
        before, since = self._seen.get(record, (None, now))
        self._seen[record] = (text, since if text == before else now)
        return now - self._seen[record][1] >= self.expiry_s


@dataclass
class Lease:
    """The right to write one slide's store, until released or taken over.

    The record's file stays open: a beat of one who lost the lease reaches no later record.
    """

    record: Path
    file: FileIO
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    beats: int = 0

    @property
    def slide_id(self) -> str:
        """The slide that the lease is for."""
        return self.record.parent.name

    def check(self) -> None:
        """Raise `BusyError` unless this lease still owns the slide."""
        mine = _read(self.record).startswith(self.token)
        if not mine or _newest(self.record.parent) != self.record:
            raise BusyError(f"{self.slide_id}: another worker took this slide over")

    def beat(self) -> None:
        """Show that the owner lives: write the record anew, in the same number of bytes."""
        owner = f"{_machine()} {os.getpid()}:{_started(os.getpid())}"
        self.file.seek(0)
        self.file.write(f"{self.token} {owner} {self.beats:012d}\n".encode())
        os.fsync(self.file.fileno())
        self.beats += 1

    def release(self) -> None:
        """Give the slide back; releasing a lease that was lost does nothing."""
        self.file.close()
        with suppress(BusyError, OSError):
            self.check()
            self.record.unlink()
            self.record.parent.rmdir()


@contextmanager
def lease(leases: Path, slide_id: str, *, watch: Watch | None = None) -> Iterator[Lease]:
    """Hold the lease of a slide, beating in the background.

    Args:
        leases: the folder of all leases of the project.
        slide_id: which slide.
        watch: what earlier attempts have seen; without it nobody on another machine is ever
            found dead.

    Raises:
        BusyError: another worker holds it; or took it over meanwhile, whatever error that led to.
    """
    watch = watch or Watch()
    held = acquire(leases, slide_id, watch)
    try:
        with _beating(held, watch.expiry_s / BEATS_PER_EXPIRY):
            yield held
    except Exception:
        held.check()
        raise
    finally:
        held.release()


def acquire(leases: Path, slide_id: str, watch: Watch) -> Lease:
    """Take a lease that is free, or whose owner is gone or expired.

    Raises:
        BusyError: its owner may be alive.
    """
    folder = leases / slide_id
    current = _newest(folder)
    if current is not None and not (_owner_is_gone(current) or watch.is_expired(current)):
        raise BusyError(f"{slide_id}: another worker holds this slide ({current})")
    mine = _create(folder / str(_generation(current) + 1))
    for generation in range(_generation(current), 0, -1):
        older = folder / str(generation)
        if not older.exists():
            break
        older.unlink(missing_ok=True)
    return mine


def _create(record: Path) -> Lease:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        mine = Lease(record, record.open("xb", buffering=0))
    except (FileExistsError, FileNotFoundError):  # another was first, or removed the empty folder
        raise BusyError(f"{record.parent.name}: another worker took this slide first") from None
    try:
        mine.beat()
        mine.check()
    except (BusyError, OSError):  # a newer generation came between; or the disk is full
        mine.file.close()
        record.unlink(missing_ok=True)
        with suppress(OSError):  # the newer one may have gone, and could not take the folder along
            record.parent.rmdir()
        raise
    return mine


def _newest(folder: Path) -> Path | None:
    try:
        records = [path for path in folder.iterdir() if path.name.isdigit()]
    except FileNotFoundError:
        return None
    return max(records, key=_generation, default=None)


def _generation(record: Path | None) -> int:
    return 0 if record is None else int(record.name)


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
    now = _started(int(pid))
    return now == "gone" or ("" not in (now, started) and now != started)


def _machine() -> str:
    """The host, its boot and the space of its process numbers, which mean nothing without."""
    place = [socket.gethostname()]
    with suppress(OSError):
        place.append(Path("/proc/sys/kernel/random/boot_id").read_text()[:8])
        place.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 it names no file
    return "/".join(place)


def _started(pid: int) -> str:
    """When a process began, in clock ticks (numbers are used again); "gone" once it has ended.

    Empty where the system does not say: without /proc, or of another user's process.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if _exists(pid) else "gone"
    return "gone" if state == "Z" else fields[18]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _beating(held: Lease, pause_s: float) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_keep_beating, args=(held, pause_s, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_beating(held: Lease, pause_s: float, stop: threading.Event) -> None:
    while not stop.wait(pause_s):
        with suppress(OSError):  # taken over, which `check` tells; or a disk that may recover
            held.beat()
