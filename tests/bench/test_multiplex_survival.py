"""The multiplex cohort has the law it claims, and its benchmark runs at a toy size."""

import csv

import numpy as np
import pytest
import torch
from make_multiplex_cohort import MARKERS, Panel, draw_markers, make_multiplex_cohort
from multiplex_bench.permutation import permuted
from multiplex_bench.trial import TOY
from multiplex_survival import CONCORDANCE, INVOLVED, MODEL, TARGETS, figures, report, run

from wsi_tools.mil import Bag
from wsi_tools.store import FeatureStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the trial's cohort and runs are."""
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def found(folder):
    """Both models on a cohort of 24 patients."""
    return run(0, TOY, folder)


def test_at_risk_the_first_pair_differs_and_the_second_agrees():
    rng = np.random.default_rng(0)
    at_risk = np.arange(1000) < 500
    first, second, third, fourth, fifth = draw_markers(at_risk, rng).T
    assert (first * second == np.where(at_risk, -1, 1)).all()
    assert (third * fourth == np.where(at_risk, 1, -1)).all()
    assert abs(fifth.mean()) < 0.1  # 1000 coins: three standard errors


def test_no_marker_alone_and_no_mean_of_them_tells_a_tile_at_risk():
    rng = np.random.default_rng(1)
    at_risk = np.arange(20_000) < 10_000
    states = draw_markers(at_risk, rng)
    alone = states[at_risk].mean(axis=0) - states[~at_risk].mean(axis=0)
    assert np.abs(alone).max() < 0.05  # the standard error is 0.014
    sums = states.sum(axis=1) + len(MARKERS)
    risky, other = (np.bincount(sums[kind]) / 10_000 for kind in (at_risk, ~at_risk))
    np.testing.assert_allclose(risky, other, atol=0.02)  # the standard error is 0.006


def test_a_marker_is_its_identity_and_its_state_along_one_direction():
    rng = np.random.default_rng(2)
    panel = Panel(32, rng)
    states = draw_markers(np.ones(400, dtype=bool), rng)
    seen = (panel.show(states, rng) - panel.identities) @ panel.state
    np.testing.assert_allclose(seen, 1.5 * states, atol=5 * 0.2)
    assert np.std(seen - 1.5 * states) == pytest.approx(0.2, abs=0.02)


def test_the_cohort_has_the_censoring_the_oracle_and_the_stores_it_says(tmp_path):
    table, project, oracle = make_multiplex_cohort(tmp_path, patients=40, tiles=4, width=4, seed=3)
    died = [line.split(",")[-1] for line in table.read_text().splitlines()[1:]]
    assert died.count("0") == 12
    assert 0.8 < oracle < 0.97
    store = FeatureStore(project / "P000-1.zarr")
    (key,) = store.grid_keys()
    assert store.slide.multiplex
    assert store.features(key, "synthetic@interplay").shape == (4, 5, 4)
    assert store.feature_attributes(key, "synthetic@interplay")["markers"] == list(MARKERS)


def test_the_same_seed_makes_the_same_cohort(tmp_path):
    tables = [
        make_multiplex_cohort(tmp_path / name, patients=6, tiles=3, width=4, seed=5)[0].read_bytes()
        for name in ("here", "there")
    ]
    assert tables[0] == tables[1]


def test_permuting_deals_one_marker_anew_and_leaves_the_others():
    bag = Bag.of_slide(torch.arange(40.0).reshape(8, 5, 1))
    dealt = permuted(bag, 2, (0, 1)).features
    kept = [0, 1, 3, 4]
    assert torch.equal(dealt[:, kept], bag.features[:, kept])
    assert not torch.equal(dealt[:, 2], bag.features[:, 2])
    assert torch.equal(dealt[:, 2].sort(dim=0).values, bag.features[:, 2])
    assert torch.equal(permuted(bag, None, (0, 1)).features, bag.features)


def test_the_benchmark_finds_every_figure_it_has_a_target_for(found):
    told = figures([found])
    assert {(target.row, target.measure) for target in TARGETS} <= set(told)
    assert all(0 <= told[row, what].value <= 1 for row, what in told if what == CONCORDANCE)


def test_what_is_permuted_is_what_the_run_says_of_its_test_slides(folder, found):
    with (folder / MODEL / "predictions.csv").open(newline="") as stream:
        said = {f"0/{row['patient_id']}": float(row["risk"]) for row in csv.DictReader(stream)}
    for rows in (found.risks[MODEL], found.permuted["A"].plain):
        risks = dict(zip(rows.patient, rows.risk, strict=True))
        assert risks == pytest.approx(said, abs=1e-6)  # float32, summed in another order


def test_the_concordance_is_the_one_of_the_run(folder, found):
    with (folder / MODEL / "metrics.csv").open(newline="") as stream:
        lines = {
            (row["metric"], row["fold"]): float(row["value"]) for row in csv.DictReader(stream)
        }
    told = figures([found])[MODEL, CONCORDANCE]
    assert told.value == pytest.approx(lines["c_harrell", "pooled"], abs=1e-6)


def test_the_mean_over_the_involved_markers_rests_on_all_four(found):
    assert len(found.permuted[INVOLVED].plain) == 4 * len(found.permuted["A"].plain)


def test_the_report_shows_both_tables_and_what_should_show(found):
    text = report({0: found})
    assert "| mean + gated-abmil | " in text
    assert "| A to D, mean | " in text
    assert "| fluoroformer: C within folds ≥ 0.78 | " in text
