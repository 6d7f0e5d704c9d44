"""Every row of the speed bench runs at a toy size, with true answers beside its ratio."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import run
import torch
from speed.peers import running
from speed.results import Outcome, as_json, page, verdict
from speed.row import Bench, Fact, Measured, Row, UnmeasuredError
from speed.rows import ROWS
from speed.sizes import TOY
from speed.slides import Slides
from speed.timing import Pair, alternate, spread

NEEDS_MORE = {
    "feed-gpu": "no GPU",
}
ABOUT = {
    "date": "2026-01-01", "size": "toy", "machine": {"cores": "2"}, "texture": "made up",
    "tile_bytes": 12_000.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return Bench(folder, TOY, Slides(folder, TOY, None))


@pytest.fixture(scope="module", autouse=True)
def threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


OF_PROCESSES = ("attention-memory", "embed-memory")  # each starts several that import torch


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=[pytest.mark.slow] if key in OF_PROCESSES else [])
        for key in ROWS
        if key not in NEEDS_MORE
    ],
)
def test_a_row_gives_a_finite_ratio_and_right_answers(bench, key):
    if key == "embed-openvino":
        pytest.importorskip("openvino", reason="pip install 'wsitools[openvino]'")
    row = ROWS[key]
    found = row.measure(bench)
    ratio = row.ratio(found.pairs)
    assert all(math.isfinite(each) and each > 0 for each in (ratio.low, ratio.median, ratio.high))
    assert {fact.name: fact.value for fact in found.facts if not fact.holds} == {}


@pytest.mark.parametrize("key", NEEDS_MORE)
def test_a_row_that_cannot_be_measured_says_why(bench, key):
    if key == "feed-gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UnmeasuredError, match=NEEDS_MORE[key]):
        ROWS[key].measure(bench)


def test_a_peer_that_is_not_installed_is_a_reason_and_no_crash(capfd):
    asked = running(Path(sys.executable), "lazyslide_tissue.py", ("slide.svs",))
    with pytest.raises(UnmeasuredError, match=r"lazyslide_tissue.py ended with 1"), asked:
        pass
    assert "No module named 'lazyslide'" in capfd.readouterr().err


def test_slides_are_made_once(bench):
    first = bench.slides.scan(TOY.fine)
    written = first.stat().st_mtime_ns
    assert bench.slides.scan(TOY.fine) == first
    assert first.stat().st_mtime_ns == written


def test_the_two_sides_take_turns_in_going_first():
    log = []

    def named(name):
        return lambda stack: lambda: log.append(name)

    alternate(named("ours"), named("beside"), size=replace(TOY, repeats=3, warm=True))
    assert log == ["ours", "beside", "ours", "beside", "beside", "ours", "ours", "beside"]


def speed(key, *walls):
    """A row that asks for three times the speed, and what it found."""
    row = Row(key, "a stage", "another", 3, 5, lambda bench: None)
    pairs = tuple(Pair({"wall": w, "cpu": w}, {"wall": 1.0, "cpu": 1.0}) for w in walls)
    return Outcome(row, Measured(pairs, (Fact("same bytes", True),), "one run"))


def test_the_ratio_is_the_median_over_the_pairs_with_its_ends():
    assert spread([4.0, 1.0, 2.0]) == spread([1.0, 2.0, 4.0])
    ratio = speed("x", 0.5, 0.25, 0.2).ratio
    assert (ratio.median, ratio.low, ratio.high) == (4.0, 2.0, 5.0)


@pytest.mark.parametrize(("wall", "expected"), [(0.5, "missed"), (0.25, "met"), (0.125, "stretch")])
def test_a_ratio_misses_meets_or_beats_what_was_asked(wall, expected):
    assert verdict(speed("x", wall)) == expected


def test_a_fast_wrong_answer_does_not_count():
    fast = speed("x", 0.1)
    wrong = replace(fast, found=replace(fast.found, facts=(Fact("same bytes", False),)))
    assert verdict(wrong) == "wrong"


def test_a_cost_is_ours_by_theirs_and_small_ones_are_good():
    pair = (Pair({"mib": 30.0}, {"mib": 20.0}),)
    row = Row("x", "", "", 2.0, None, lambda bench: None, cost=True, by="mib")
    assert row.ratio(pair).median == 1.5
    assert row.reached(1.5, 2.0)
    assert not row.reached(2.5, 2.0)


def test_the_page_and_the_record_hold_every_row_and_every_sample():
    outcomes = [speed("quick", 0.25, 0.5), Outcome(ROWS["feed-gpu"], None, "there is no GPU here")]
    text = page(ABOUT, outcomes)
    record = json.loads(json.dumps(as_json(ABOUT, outcomes)))
    assert (
        "| a stage: one run (`quick`) | another | **3.00** [2.00, 4.00] | 3.00 | ≥ 3 | ≥ 5 |"
        in text
    )
    assert "- `feed-gpu`, not measured: there is no GPU here." in text
    assert [row["verdict"] for row in record["rows"]] == ["met", "not measured"]
    assert record["rows"][0]["pairs"][1]["ours"] == {"wall": 0.5, "cpu": 0.5}


def test_the_command_knows_every_row():
    assert set(ROWS) <= set(run.EVERY)
    assert len(ROWS) == 21
