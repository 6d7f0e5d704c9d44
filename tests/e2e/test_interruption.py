"""A run that is stopped, whichever way, and the same command again."""

import os
import signal
import time

import pytest

from wsi_tools.store import FeatureStore

GRID = "mpp0.5-px24-ov0"
WAYS = (
    (signal.SIGKILL, -signal.SIGKILL, ""),
    (signal.SIGTERM, 75, "error: stopped on request; run the same command again to continue\n"),
    (signal.SIGUSR1, 75, "error: stopped on request; run the same command again to continue\n"),
    (signal.SIGINT, 130, "interrupted; run the same command again to continue\n"),
)


def chunks(project):
    """The chunks of features that are there, complete or on their way, with their bytes."""
    grid = project / "cmu-1-small-region.zarr" / "grids" / GRID
    return {path.parent.name: path.read_bytes() for path in grid.glob("features/*/c/*/0")}


def wait_for_another_chunk(process, project, before):
    """Return when the run has committed one more."""
    while len(chunks(project)) <= before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.faults
def test_a_run_stopped_in_four_ways_ends_with_the_bytes_of_an_uninterrupted_one(
    wsitools, start, many_tiles, tmp_path
):
    command, whole = many_tiles
    project = tmp_path / "proj"
    for number, code, told in WAYS:
        there = len(chunks(project))
        with start(*command, "-o", project, "--reader", "slow") as process:
            wait_for_another_chunk(process, project, there)
            os.killpg(process.pid, number)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (code, "", told)
        assert not (project / "failures.csv").exists()
        assert FeatureStore(project / "cmu-1-small-region.zarr").feature_names(GRID) == ()
    (row,) = wsitools(*command, "-o", project, "--reader", "slow", "--json").rows
    assert row["stages"] == ["embed"]
    assert row["embedded"] <= row["tiles"] - len(WAYS) * 1024
    assert len(chunks(project)) == 5
    assert chunks(project) == chunks(whole)


@pytest.mark.faults
def test_a_time_limit_is_exit_75_and_records_no_failure(wsitools, many_tiles, tmp_path):
    stopped = wsitools(*many_tiles[0], "-o", tmp_path, "--time-limit", "0:00:01")
    assert (stopped.code, stopped.out) == (75, [])
    assert stopped.err == "error: stopped on request; run the same command again to continue\n"
    assert not (tmp_path / "failures.csv").exists()


@pytest.mark.faults
def test_workers_share_a_project_and_each_slide_is_prepared_once(
    start, wsitools, write_slide, tissue, tmp_path
):
    for name in "abcdef":
        write_slide(tmp_path / f"{name}.tif", tissue)
    command = ("tile", tmp_path, "-o", tmp_path / "proj", "--json", "--workers", "2")
    with start(*command) as one, start(*command) as other:
        outputs = [each.communicate(timeout=120)[0] for each in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    assert [text.count('"slide_id"') for text in outputs] == [6, 6]
    assert "".join(outputs).count('"stages": ["segment", "tile"]') == 6
