"""Leases: one owner at a time, dead owners found, nobody kept waiting."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from scene import SAME_IMPORTS, Scene

from wsi_tools.errors import BusyError, StoreError
from wsi_tools.store import Lease, StoreWriter, Watch, lease
from wsi_tools.store.leases import acquire

AT_ONCE = Watch(expiry_s=0.0)
ELSEWHERE = "012345678901 another-host/boot/pid:[1] 77:88 000000000000\n"


def record(folder: Path, text: str, generation: int = 1) -> Path:
    """Write the record of somebody else."""
    path = folder / "case" / str(generation)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def take(folder: Path, watch: Watch) -> Lease:
    """Take a lease for good: nobody beats, nobody releases it."""
    taken = acquire(folder, "case", watch)
    taken.file.close()
    return taken


def test_a_lease_leaves_nothing_behind(tmp_path):
    with lease(tmp_path, "case") as held:
        assert held.slide_id == "case"
        assert [path.name for path in (tmp_path / "case").iterdir()] == ["1"]
        held.check()
    assert list(tmp_path.iterdir()) == []


def test_a_second_taker_is_told_at_once(tmp_path):
    began = time.monotonic()
    with lease(tmp_path, "case"), pytest.raises(BusyError, match="case: another worker holds"):
        take(tmp_path, Watch())
    assert time.monotonic() - began < 1


def test_an_owner_elsewhere_expires_when_its_record_stands_still_for_one_watcher(tmp_path):
    record(tmp_path, ELSEWHERE)
    watch = Watch(expiry_s=0.2)
    with pytest.raises(BusyError):
        take(tmp_path, watch)
    time.sleep(0.25)
    with pytest.raises(BusyError):  # who has not seen it before does not know
        take(tmp_path, Watch(expiry_s=0.2))
    assert take(tmp_path, watch).record.name == "2"


def test_an_owner_elsewhere_that_beats_does_not_expire(tmp_path):
    watch = Watch(expiry_s=0.2)
    for beats in range(4):
        record(tmp_path, ELSEWHERE.replace("000000000000", f"{beats:012d}"))
        with pytest.raises(BusyError):
            take(tmp_path, watch)
        time.sleep(0.1)


def test_a_record_without_text_expires_as_others_do(tmp_path):
    record(tmp_path, "")
    watch = Watch(expiry_s=0.1)
    with pytest.raises(BusyError):
        take(tmp_path, watch)
    time.sleep(0.15)
    take(tmp_path, watch)


def test_a_dead_owner_of_this_machine_is_followed_at_once(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from wsi_tools.store.leases import *; "
        "held = acquire(Path(sys.argv[1]), 'case', Watch()); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env=SAME_IMPORTS)
    assert (tmp_path / "case" / "1").exists()
    assert take(tmp_path, Watch()).record.name == "2"
    assert not (tmp_path / "case" / "1").exists()


def test_a_process_with_the_number_of_a_dead_owner_is_not_taken_for_it(tmp_path):
    with lease(tmp_path, "case") as held:
        token, machine, process, beats = held.record.read_text().split()
        assert process.startswith(f"{os.getpid()}:")
        record(tmp_path, f"{token} {machine} {os.getpid()}:1 {beats}\n")
        assert take(tmp_path, Watch()).record.name == "2"


@pytest.mark.parametrize(
    ("pid", "alive"),
    [(1, True), (os.getpid(), True), (4_194_305, False)],
    ids=["other", "own", "none"],
)
def test_without_proc_only_an_owner_whose_number_is_free_is_gone(tmp_path, monkeypatch, pid, alive):
    with lease(tmp_path, "case") as held:
        token, machine, _, beats = held.record.read_text().split()
    record(tmp_path, f"{token} {machine} {pid}:1 {beats}\n")
    readable = Path.read_text

    def read_text(self: Path) -> str:
        if self.match("/proc/*/stat"):
            raise FileNotFoundError(self)
        return readable(self)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(BusyError) if alive else nullcontext():
        take(tmp_path, Watch())


def test_another_name_space_of_processes_is_another_machine(tmp_path):
    with lease(tmp_path, "case") as held:
        text = held.record.read_text()
    record(tmp_path, text.replace("/pid:[", "/pid:[9").replace(f" {os.getpid()}:", " 999999:"))
    with pytest.raises(BusyError):
        take(tmp_path, Watch())


def test_an_owner_beats_until_it_is_done(tmp_path):
    with lease(tmp_path, "case", watch=Watch(expiry_s=0.12)) as held:
        first = held.record.read_text()
        time.sleep(0.1)
        later = held.record.read_text()
    assert first != later
    assert len(first) == len(later)


def test_an_owner_goes_on_beating_after_a_full_disk(tmp_path, monkeypatch):
    failures = iter([OSError(28, "No space left on device")] * 2)
    beat = Lease.beat

    def sometimes(self: Lease) -> None:
        if failure := next(failures, None):
            raise failure
        beat(self)

    with lease(tmp_path, "case", watch=Watch(expiry_s=0.12)) as held:
        monkeypatch.setattr(Lease, "beat", sometimes)
        first = held.record.read_text()
        time.sleep(0.15)
        assert held.record.read_text() != first


def test_a_lease_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_: Lease) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Lease, "beat", full)
    with pytest.raises(OSError, match="No space left"):
        take(tmp_path, Watch())
    assert list(tmp_path.iterdir()) == []


def test_who_comes_second_takes_the_folder_along_where_the_first_has_gone(tmp_path, monkeypatch):
    check = Lease.check

    def overtaken(held):
        newer = record(tmp_path, ELSEWHERE, 2)
        try:
            check(held)
        finally:
            newer.unlink()  # its folder could not go with it: a record was in it

    monkeypatch.setattr(Lease, "check", overtaken)
    with pytest.raises(BusyError, match="another worker took this slide over"):
        take(tmp_path, Watch())
    assert list(tmp_path.iterdir()) == []


def test_who_was_taken_over_reports_that_whatever_else_goes_wrong(tmp_path):
    def lose() -> None:
        with lease(tmp_path, "case"):
            take(tmp_path, AT_ONCE)
            raise FileNotFoundError("what the next owner swept away")

    with pytest.raises(BusyError, match="took this slide over"):
        lose()


def test_an_error_of_an_owner_stays_what_it_is(tmp_path):
    with pytest.raises(StoreError, match="torn"), lease(tmp_path, "case"):
        raise StoreError("torn")


def test_a_beat_of_one_who_lost_its_lease_reaches_no_later_record(tmp_path):
    lost = acquire(tmp_path, "case", Watch())
    take(tmp_path, AT_ONCE).release()
    with lease(tmp_path, "case") as held:
        assert held.record == lost.record
        lost.beat()
        lost.release()
        held.check()


def test_a_record_below_the_newest_is_no_lease(tmp_path):
    record(tmp_path, ELSEWHERE, generation=7)
    with pytest.raises(BusyError):
        take(tmp_path, Watch())
    assert take(tmp_path, AT_ONCE).record.name == "8"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda scene, writer: scene.embed(writer, "net", (1100, 4)),
        lambda scene, writer: writer.write_grid("other", scene.store.grid("grid"), {}),
        lambda scene, writer: writer.set_min_tissue("grid", 0.7),
        lambda scene, writer: writer.publish(),
        lambda scene, writer: StoreWriter(writer.path, writer.folder.lease, command={}),
    ],
)
def test_one_who_lost_its_lease_writes_nothing_at_all(
    scene: Scene, attempt: Callable[[Scene, StoreWriter], object]
):
    with suppress(BusyError), scene.writer() as writer:
        scene.lay(writer)
        before = files(scene.store.path)
        take(scene.project / ".leases", AT_ONCE)
        with pytest.raises(BusyError):
            attempt(scene, writer)
        assert files(scene.store.path) == before


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
