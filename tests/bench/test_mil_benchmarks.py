"""The MIL benchmark reads its sets, keeps test bags out of training, and goes on when killed."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mil_bench.contests import CONTESTS, Published, Size
from mil_bench.record import Record
from mil_bench.sets import digit_bags, find_sets, read_set
from mil_bench.tables import rows, set_table, target_table
from mil_bench.trials import Outcome, Trial, run, trials
from mil_benchmarks import TOY, benchmark, sections
from science_bench.table import written
from scipy.io import savemat

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "benchmarks-mil.md"
EVERY = pytest.mark.parametrize(
    ("model", "protocol"), [(each.model, each.protocol) for each in CONTESTS]
)
RIGHT = Outcome(accuracy=1.0, auc=1.0, epoch=99, seconds=6.0)
WRONG = Outcome(accuracy=0.5, auc=None, epoch=1, seconds=6.0)


@pytest.fixture
def planted(tmp_path):
    """A set of 24 bags; the first feature of one tile of a positive bag is far from all others."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    owner = np.repeat(np.arange(24), 4)
    tiles = rng.normal(size=(96, 6))
    tiles[4 * np.flatnonzero(labels), 0] += 12
    place = tmp_path / "sets" / "planted_scaled"
    place.mkdir(parents=True)
    savemat(place / "X.mat", {"X": tiles})
    savemat(place / "rest.mat", {"Bag2": owner[:, None] + 1, "bagI": labels[:, None]})
    return place


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_tiles_go_to_the_bag_that_the_matrices_name(planted):
    found = read_set(planted)
    assert [len(bag) for bag in found.tiles] == [4] * 24
    assert found.labels.tolist() == [0, 1] * 12
    assert [bool(bag[0, 0] > 8) for bag in found.tiles] == [False, True] * 12


def test_of_two_scalings_of_a_set_the_scaled_one_is_read(planted):
    other = planted.with_name("planted_unscaled")
    other.mkdir()
    for path in planted.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (planted.parent / "notes").mkdir()
    assert find_sets(planted.parent) == {"planted": planted}


def test_training_tiles_alone_set_the_scale(planted):
    found, train = read_set(planted), list(range(20))
    bags = found.seen_from(train)
    seen = torch.cat([bags[index].features for index in train])
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.std(dim=0), torch.ones(6), atol=1e-6, rtol=0)
    changed = replace(found, tiles=(*found.tiles[:20], *(bag * 7 for bag in found.tiles[20:])))
    assert torch.equal(changed.seen_from(train)[3].features, bags[3].features)


def test_a_positive_bag_of_digits_holds_a_9_and_no_digit_is_used_twice():
    digits = np.tile(np.arange(10, dtype=np.uint8), 600)
    images = np.stack((np.arange(6000) // 256, np.arange(6000) % 256), axis=1).astype(np.uint8)
    found = digit_bags(images, digits)
    places = torch.tensor([256, 1], dtype=torch.int32)
    rows = [(bag * 255).round().int() @ places for bag in found.tiles]
    assert len(torch.cat(rows).unique()) == len(torch.cat(rows))
    assert [bool((row % 10 == 9).any()) for row in rows] == [False, True] * 100
    assert np.mean([len(row) for row in rows]) == pytest.approx(10, abs=0.6)  # four standard errors


def test_digits_are_read_from_the_files_of_mnist(tmp_path):
    digits = np.tile(np.arange(10, dtype=np.uint8), 300)
    images = np.repeat(digits, 28 * 28)
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz", "wb") as stream:
        stream.write(bytes(16) + images.tobytes())
    with gzip.open(tmp_path / "t10k-labels-idx1-ubyte.gz", "wb") as stream:
        stream.write(bytes(8) + digits.tobytes())
    found = read_set(tmp_path)
    assert found.width == 784
    assert [float(bag.max()) == pytest.approx(9 / 255) for bag in found.tiles] == [
        False,
        True,
    ] * 100


@pytest.mark.parametrize(
    ("name", "bags", "positive", "tiles", "width"),
    [
        ("musk1", 92, 47, 476, 166),
        ("elephant", 200, 100, 1391, 230),
        ("tiger", 200, 100, 1220, 230),
    ],
)
def test_the_shared_sets_have_their_published_size(test_data, name, bags, positive, tiles, width):
    found = read_set(find_sets(test_data / "mil")[name])
    assert (len(found.labels), int(found.labels.sum())) == (bags, positive)
    assert (sum(map(len, found.tiles)), found.width) == (tiles, width)


@pytest.mark.slow  # trains for 30 epochs
@EVERY
def test_every_contest_finds_a_planted_tile(planted, model, protocol):
    trial = Trial("planted", model, protocol, repeat=0, fold=0)
    outcome = run(trial, planted, Size(folds=2, repeats=1, epochs=30))
    assert outcome.auc >= 0.8  # 12 test bags of noise reach it in one case of twenty
    assert 0 <= outcome.epoch < 30


def test_the_same_trial_comes_to_the_same(planted):
    trial = Trial("planted", "abmil", "honest", repeat=1, fold=1)
    first, again = (run(trial, planted, TOY) for _ in range(2))
    assert replace(first, seconds=0) == replace(again, seconds=0)


@pytest.mark.slow  # starts a process
def test_a_killed_benchmark_goes_on_after_what_its_record_holds(planted, tmp_path):
    record = Record(tmp_path / "record.jsonl", TOY)
    wanted = list(trials(["planted"], TOY))
    for trial in wanted[1:]:
        record.add(trial, RIGHT)
    text = record.path.read_text()
    record.path.write_text(text[:-7])  # the last line was under way
    outcomes = benchmark({"planted": planted}, record, jobs=1)
    assert list(outcomes) == wanted
    assert [trial for trial in wanted if outcomes[trial] != RIGHT] == [wanted[0], wanted[-1]]
    assert record.outcomes() == outcomes


def test_a_record_of_another_size_is_let_be(tmp_path):
    trial = Trial("musk1", "abmil", "paper", 0, 0)
    Record(tmp_path / "record.jsonl", TOY).add(trial, RIGHT)
    assert Record(tmp_path / "record.jsonl", Size()).outcomes() == {}
    assert Record(tmp_path / "record.jsonl", replace(TOY, repeats=3)).outcomes() == {trial: RIGHT}


def test_the_tables_hold_means_over_folds_and_the_spread_of_repeats():
    outcomes = {
        Trial("musk1", "abmil", "paper", repeat, fold): WRONG if (repeat, fold) == (1, 1) else RIGHT
        for repeat in range(2)
        for fold in range(2)
    }
    assert "| abmil | paper | 0.875 ± 0.177 | 1.000 | 100 | 4 | 0.4 |" in set_table(
        "musk1", outcomes
    )
    assert "| musk1 | abmil | 0.892 | 0.875 | -0.017 | ± 0.04 | met |" in target_table(outcomes)
    (row,) = rows("musk1", outcomes)
    assert row.contest.protocol == "paper"


def test_only_the_papers_protocol_is_held_to_the_published_figures():
    paper, honest = (Trial("tiger", "gated-abmil", each, 0, 0) for each in ("paper", "honest"))
    assert paper.published == Published(0.845, within=0.03)
    assert honest.published is None


def test_the_page_has_a_place_for_every_table(tmp_path):
    copy = tmp_path / PAGE.name
    copy.write_text(PAGE.read_text())
    sets = ("musk1", "elephant", "tiger", "mnist")
    outcomes = {Trial(each, "abmil", "paper", 0, 0): RIGHT for each in sets}
    for name, _ in sections(outcomes):
        written(copy, name, "the figures")
    assert copy.read_text().count("\n\nthe figures\n\n") == 6


def test_a_set_without_published_figures_is_cross_validated_once():
    repeats = {
        bag_set: max(trial.repeat for trial in trials([bag_set], Size())) + 1
        for bag_set in ("musk1", "mnist")
    }
    assert repeats == {"musk1": 3, "mnist": 1}
