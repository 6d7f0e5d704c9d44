"""Files and folders that appear whole or not at all, changed only while a lease is held.

Beside the place of what is being changed lie, hidden by a dot::

    .<name>.<lease token>.partial   a file being written
    .<name>.<lease token>.part      a folder being filled
    .<name>.<random>.gone           a folder on its way out

The fence: every change is one rename, right before which the lease is checked. A new owner sweeps
what earlier ones left, so that one who was stopped between its check and its rename finds nothing
to rename when it wakes.
"""

import glob
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_tools.errors import BusyError
from wsi_tools.store.leases import Lease

if TYPE_CHECKING:
    from wsi_tools.store.leased import LeasedFiles

HIDDEN = (".part", ".gone", ".partial", ".stale")


def beside(place: Path, token: str, kind: str) -> Path:
    """The hidden name of what will take a place, or was taken from it."""
    return place.with_name(f".{place.name}.{token}.{kind}")


def left_beside(place: Path, kind: str) -> list[Path]:
    """What any owner has left beside a place, in a fixed order."""
    found = place.parent.glob(f".{glob.escape(place.name)}.*.{kind}")
    return sorted(path for path in found if path.name.count(".") == place.name.count(".") + 3)


def write_atomically(
    path: Path,
    content: bytes | bytearray | memoryview,
    *,
    token: str | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Replace a file in one step, on the disk before its name is; `check` has the last word."""
    partial = beside(path, token or uuid.uuid4().hex[:12], "partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check()
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class LeasedFolder:
    """A store's folder and the right to change it."""

    path: Path
    lease: Lease

    def zarr(self, place: Path) -> "LeasedFiles":
        """A folder in this one, as Zarr writes to it."""
        from wsi_tools.store.leased import LeasedFiles  # Zarr takes half a second to import

        return LeasedFiles(place, self.lease)

    def part(self, place: Path) -> Path:
        """Where what will take a place is filled."""
        return beside(place, self.lease.token, "part")

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file in one step."""
        write_atomically(path, content, token=self.lease.token, check=self.lease.check)

    def put(self, part: Path, place: Path) -> None:
        """Give what is complete its name, in the place of an earlier one."""
        self.remove(place)
        self.lease.check()
        part.rename(place)

    def remove(self, place: Path) -> None:
        """Take a folder out of sight in one step, then delete it."""
        if place.exists():
            self.lease.check()
            gone = _hide(place)
            try:
                self.lease.check()
            except BusyError:  # this was the next owner's: nothing else bears no token
                gone.rename(place)
                raise
            shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what earlier owners left, except half-written features: they are resumed."""
        left = list(_hidden(self.path))
        self.lease.check()  # what was there before this moment has no owner any more
        for path in left:
            discard(path)


def discard(left: Path) -> None:
    """Delete what an owner left, unless another has by now; a folder first loses its name."""
    with suppress(FileNotFoundError):
        if left.is_dir():
            shutil.rmtree(_hide(left), ignore_errors=True)
        else:
            left.unlink()


def _hide(folder: Path) -> Path:
    gone = beside(folder, uuid.uuid4().hex[:12], "gone")
    return folder.rename(gone)


def _hidden(store: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(store):
        hidden = [name for name in folders if _is_left(name) and not _is_resumable(folder, name)]
        folders[:] = [name for name in folders if name not in hidden]
        yield from (Path(folder, name) for name in hidden)
        yield from (Path(folder, name) for name in files if _is_left(name))


def _is_left(name: str) -> bool:
    return name.startswith(".") and name.endswith(HIDDEN)


def _is_resumable(folder: str, name: str) -> bool:
    began = Path(folder, name, "zarr.json")
    return Path(folder).name == "features" and name.endswith(".part") and began.exists()
