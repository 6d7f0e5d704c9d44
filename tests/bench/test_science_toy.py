"""Every task of the science bench runs at a toy size, with all the rows its page promises."""

import math
from pathlib import Path

import pytest
import science
import torch
from science_bench.stability import ENTRIES, PULLS
from science_bench.table import figure_table, target_table, written
from science_bench.task import CHANCE, ORACLE, Size, Target, Task

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "science.md"
EVERY = pytest.mark.parametrize("letter", list(science.TASKS))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@EVERY
def test_a_task_finds_every_figure_it_has_a_target_for_beside_oracle_and_chance(letter):
    task = science.TASKS[letter]
    figures = task.run(0, task.toy)
    rows = {row for row, _ in figures}
    assert {(target.row, target.measure) for target in task.targets} <= set(figures)
    assert any(row.endswith(ORACLE) for row in rows)
    assert any(row.endswith(CHANCE) for row in rows)
    assert all(math.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("letter", ["a", "b", "c", "d"])
def test_nothing_reads_the_label_better_than_the_oracle(letter):
    task = science.TASKS[letter]
    figures = task.run(1, task.toy)
    assert figures[ORACLE, "bag AUC"] == 1.0
    assert all(0 <= figures[row, measure] <= 1 for row, measure in figures)


def test_the_same_seed_finds_the_same_figures():
    task = science.TASKS["c"]
    assert task.run(3, task.toy) == task.run(3, task.toy)


def test_every_pull_starts_from_the_same_weights():
    for entry in ENTRIES.values():
        starts = []
        for pull in PULLS.values():
            torch.manual_seed(5)
            starts.append(pull.around(entry).model.state_dict())
        assert all(
            torch.equal(first, other[key])
            for other in starts[1:]
            for key, first in starts[0].items()
        )


def test_fluoroformer_reads_the_interplay_that_the_mean_of_the_markers_cannot_hold():
    figures = science.TASKS["c"].run(0, Size(train=32, test=60, steps=60))
    assert figures["fluoroformer", "bag AUC"] > 0.95
    assert figures["mean + gated-abmil", "bag AUC"] < 0.75  # 60 bags: three sd above chance is 0.72


def test_a_cell_holds_the_mean_the_spread_and_the_ends():
    runs = {0: {("abmil", "AUC"): 0.8}, 1: {("abmil", "AUC"): 0.9}}
    assert "| abmil | 0.850 ± 0.071 [0.800, 0.900] |" in figure_table(runs)


def test_a_target_that_one_seed_may_miss_is_met_by_the_others():
    target = Target("abmil", "AUC", low=0.85, misses=1)
    task = Task("", lambda seed, size: {}, (target,), Size(0, 0, 0), Size(0, 0, 0))
    runs = {0: {("abmil", "AUC"): 0.8}, 1: {("abmil", "AUC"): 0.9}}
    assert "| abmil: AUC ≥ 0.85 | 1 of 2 | 1 of 2 | met |" in target_table(task, runs)


@EVERY
def test_the_page_has_a_place_for_every_table(letter, tmp_path):
    copy = tmp_path / PAGE.name
    copy.write_text(PAGE.read_text())
    written(copy, letter, "the figures")
    assert f"<!-- figures {letter} -->\n\nthe figures\n\n<!-- end {letter} -->" in copy.read_text()
