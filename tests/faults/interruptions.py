"""Interrupt the writing of a store before each of its file operations, and see what becomes of it.

    python interruptions.py FOLDER {kill,freeze} {new,overwritten} FIRST STRIDE

Every n-th operation, a child process writes a store and ends right before that operation: killed,
or stopped until another has taken the slide over and finished it, then woken. A line of JSON tells
of each: the operation, and what was wrong afterwards.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import zarr
from scene import Scene, rows_of, tree

from wsi_tools.errors import BusyError
from wsi_tools.store import Watch, torn
from wsi_tools.store.layout import read_root, visible_metadata

CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.truncate"}
BUSY, BUG = 100, 101
AT_ONCE = Watch(expiry_s=0.0)


@dataclass(frozen=True)
class Case:
    """One kind of interruption of one kind of writing."""

    folder: Path
    fault: signal.Signals
    overwrite: bool

    def scene(self, name: str) -> Scene:
        """The slide to write, in a project of its own; where it is overwritten, an old one."""
        project = self.folder / name
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir()
        if self.overwrite:
            old = self.folder / "old"
            if not old.exists():
                Scene(old, tiles=1030).write()
            shutil.copytree(old, project, dirs_exist_ok=True)
        return Scene(project, edition=2 if self.overwrite else 1)

    def write(self, scene: Scene, watch: Watch | None = None) -> int:
        """Write everything that is missing, in a process of its own; give the chunks computed."""
        return _ended(_forked(lambda: self._written(scene, watch)))

    def interrupted(self, scene: Scene, at: int) -> tuple[int, str]:
        """Begin to write, and be interrupted; give the process and the operation to come."""
        note = self.folder / "note"
        note.unlink(missing_ok=True)

        def begin() -> int:
            sys.addaudithook(_Interruption(scene.project, at, self.fault, note))
            return self._written(scene, None)

        pid = _forked(begin)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        return pid, note.read_text() if note.exists() else ""

    def _written(self, scene: Scene, watch: Watch | None) -> int:
        try:
            return scene.write(overwrite=self.overwrite, watch=watch)
        except BusyError:
            return BUSY


class _Interruption:
    """An audit hook that counts changes below a folder, and sends this process a signal."""

    def __init__(self, folder: Path, at: int, fault: signal.Signals, note: Path) -> None:
        self.folder, self.left, self.fault, self.note = str(folder), at, fault, note

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in CHANGES or (event == "open" and _is_for_writing(arguments)):
            path = os.fspath(arguments[0]) if isinstance(arguments[0], str | Path) else ""
            if path.startswith(self.folder):
                self._count(f"{event} {path[len(self.folder) :]}")

    def _count(self, operation: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.note.write_text(operation)
            os.kill(os.getpid(), self.fault)


def _is_for_writing(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _forked(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = BUG
    try:
        code = work()
    finally:  # an error shows its traceback and goes no further up than this process
        if code == BUG:
            traceback.print_exc()
        os._exit(code)


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def faults_in_view(scene: Scene) -> Iterator[str]:
    """What a reader could see, right now, that is not complete."""
    store = scene.store
    if not (store.path / "zarr.json").exists():
        return
    read_root(store.path)
    for path in visible_metadata(store.path):
        node = zarr.open(path.parent, mode="r")
        if isinstance(node, zarr.Array) and node.nchunks_initialized < node.nchunks:
            yield f"{path.parent} lacks chunks"
    for key in store.grid_keys():
        yield from (
            f"{name} is not whole"
            for name in store.feature_names(key)
            if not np.array_equal(store.features(key, name)[...], _rows(scene, key, name))
        )
        if len(store.grid(key)) != len(store.valid(key)):
            yield "a grid is not whole"


def _rows(scene: Scene, key: str, name: str) -> np.ndarray:
    return rows_of(scene.store.features(key, name).shape)


def killed(case: Case, scene: Scene, pid: int, expected: dict[str, bytes]) -> Iterator[str]:
    """What is wrong after a kill, and after the same command was run again."""
    _ended(pid)
    yield from faults_in_view(scene)
    computed = case.write(scene)
    if not 0 <= computed <= 4:
        yield f"the next run ended with {computed}"
    yield from difference(scene, expected)


def frozen(case: Case, scene: Scene, pid: int, expected: dict[str, bytes]) -> Iterator[str]:
    """What is wrong after a takeover, after the first owner woke up, and after another run."""
    if not 0 <= case.write(scene, AT_ONCE) <= 4:
        yield "the second owner did not finish"
    yield from (f"before waking: {fault}" for fault in difference(scene, expected))
    os.kill(pid, signal.SIGCONT)
    woken = _ended(pid)
    if woken == BUG:
        yield "the first owner ended with a bug"
    yield from (f"awake: {fault}" for fault in faults_in_view(scene))
    if computed := case.write(scene):
        yield f"awake, it destroyed {computed} chunks"
    yield from difference(scene, expected)


def difference(scene: Scene, expected: dict[str, bytes]) -> Iterator[str]:
    """How a finished project differs from one that nobody interrupted."""
    found = tree(scene.project)
    yield from (f"{name} is missing" for name in expected.keys() - found.keys())
    yield from (f"{name} was left" for name in found.keys() - expected.keys())
    common = expected.keys() & found.keys()
    yield from (f"{name} differs" for name in common if found[name] != expected[name])
    yield from torn(scene.store.path)


def main() -> None:
    """Interrupt every STRIDE-th operation from FIRST on, until there are no more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("fault", choices=("kill", "freeze"))
    parser.add_argument("writing", choices=("new", "overwritten"))
    parser.add_argument("first", type=int)
    parser.add_argument("stride", type=int)
    given = parser.parse_args()
    fault = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}[given.fault]
    case = Case(given.folder, fault, given.writing == "overwritten")
    whole = case.scene("whole")
    case.write(whole)
    expected = tree(whole.project)
    judge = killed if given.fault == "kill" else frozen
    for at in count(given.first, given.stride):
        scene = case.scene("interrupted")
        pid, operation = case.interrupted(scene, at)
        if not operation:
            assert _ended(pid) <= 4
            return
        faults = list(judge(case, scene, pid, expected))
        print(json.dumps({"at": at, "operation": operation, "faults": faults}), flush=True)


if __name__ == "__main__":
    main()
