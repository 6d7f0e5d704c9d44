"""A project: its stores, and the list of what failed."""

import csv
import multiprocessing
from pathlib import Path

import pytest

from wsi_tools.errors import DataError
from wsi_tools.store import FailureRecord, Project, stores_in


def failure(slide_id: str) -> FailureRecord:
    return FailureRecord(slide_id, f"/slides/{slide_id}.svs", "open", "SlideError", 'no "mpp", é')


def rows(project: Project) -> list[dict[str, str]]:
    with project.failures_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def record_many(folder: Path, first: int) -> None:
    for number in range(first, first + 20):
        Project(folder).record_failure(failure(f"case{number:02d}"))


def test_failures_are_listed_by_slide_and_read_back(tmp_path):
    project = Project(tmp_path)
    project.record_failure(failure("b"))
    project.record_failure(failure("a"))
    assert project.failures() == (failure("a"), failure("b"))
    assert [row["slide_id"] for row in rows(project)] == ["a", "b"]
    assert rows(project)[0]["message"] == 'no "mpp", é'


def test_a_success_takes_a_slide_off_the_list_and_the_last_one_the_list(tmp_path):
    project = Project(tmp_path)
    project.record_failure(failure("a"))
    project.record_failure(failure("b"))
    project.record_success("a")
    assert [row["slide_id"] for row in rows(project)] == ["b"]
    project.record_success("b")
    project.record_success("never failed")
    assert not project.failures_csv.exists()


def test_two_commands_on_one_project_lose_no_failure(tmp_path):
    context = multiprocessing.get_context("spawn")
    commands = [context.Process(target=record_many, args=(tmp_path, first)) for first in (0, 20)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
        assert command.exitcode == 0
    assert len(rows(Project(tmp_path))) == 40


def test_stores_are_the_folders_with_a_root(tmp_path):
    for name in ("b.zarr", "a.zarr", "empty.zarr", "other"):
        (tmp_path / name).mkdir()
    for name in ("b.zarr", "a.zarr", "other"):
        (tmp_path / name / "zarr.json").touch()
    assert list(stores_in(tmp_path)) == [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    assert list(stores_in(tmp_path / "a.zarr")) == [tmp_path / "a.zarr"]
    with pytest.raises(DataError, match="no such project"):
        Project(tmp_path / "nowhere").stores()
