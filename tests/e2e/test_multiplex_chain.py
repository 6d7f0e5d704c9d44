"""From multiplex files to a C-index, every step as a shell would ask for it; a smoke test."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from make_multiplex_slides import CHANNELS, SQUARE_PX, make_multiplex_slides

from wsi_tools.store import FeatureStore

FOLLOW_UP = ("--time", "os_months", "--event", "died=1")
LIGHT = ("--backbone", "one-layer", "--weights", "random:0", "--dtype", "float32")
PANEL = "marker_name,role\nA,\nB,\nC,\nD,\nDAPI,nuclear\n"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """(table, slides, panel) of 24 patients."""
    folder = tmp_path_factory.mktemp("slides")
    (folder / "panel.csv").write_text(PANEL)
    return *make_multiplex_slides(folder), folder / "panel.csv"


@pytest.fixture(scope="module")
def project(wsitools, cohort, tmp_path_factory):
    """The stores of their features."""
    out = tmp_path_factory.mktemp("embedded") / "proj"
    grid = ("--mpp", "1", "--tile-size", SQUARE_PX, "--panel", cohort[2])
    left = wsitools("run", cohort[1][0].parent, "-o", out, *grid, *LIGHT)
    assert left.code == 0, left.err
    return out


@pytest.fixture(scope="module")
def run(wsitools, cohort, project, tmp_path_factory):
    """A Fluoroformer of two folds, over a split that was made before."""
    folder = tmp_path_factory.mktemp("trained")
    splits, table = folder / "splits.csv", cohort[0]
    divided = wsitools("splits", table, *FOLLOW_UP, "--folds", "2", "--val", "0.2", "-o", splits)
    assert divided.code == 0, divided.err
    learn = ("--splits", splits, "--model", "fluoroformer", "--set", "hidden_dim=8", "--bins", "2")
    asked = (*FOLLOW_UP, *learn, "--epochs", "2", "--device", "cpu", "-o", folder / "run")
    left = wsitools("train", project, table, *asked)
    assert left.code == 0, left.err
    return folder / "run"


def lines(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_slides_hold_what_they_say_and_are_small(cohort):
    _, slides, _ = cohort
    planes = [tifffile.imread(path) for path in slides]
    assert {each.shape for each in planes} == {(5, 192, 192)}
    assert {each.dtype for each in planes} == {np.dtype("uint16")}
    assert sum(path.stat().st_size for path in slides) < 4e6


def test_in_a_square_at_risk_the_first_pair_differs_and_the_second_agrees(cohort):
    table, slides, _ = cohort
    for row, path in zip(lines(table), slides, strict=True):
        planes = tifffile.imread(path)
        squares = planes.reshape(5, 3, 64, 3, 64).max(axis=(2, 4)).reshape(5, 9)
        on = squares[1:] > 3000
        risky = on[0] != on[1]
        assert (risky == (on[2] == on[3])).all()
        assert float(row["at_risk"]) == pytest.approx(risky.mean(), abs=1e-4)


def test_every_slide_has_features_of_the_panels_markers(cohort, project):
    for path in cohort[1]:
        store = FeatureStore(project / f"{path.name.removesuffix('.ome.tiff')}.zarr")
        (key,) = store.grid_keys()
        (name,) = store.feature_names(key)
        features = store.features(key, name)
        assert features.shape == (9, 5, 8)
        attributes = store.feature_attributes(key, name)
        assert attributes["markers"] == ["A", "B", "C", "D", "DAPI"] != list(CHANNELS)


def test_a_c_index_comes_out(run):
    scored = {
        row["fold"]: row for row in lines(run / "metrics.csv") if row["metric"] == "c_harrell"
    }
    assert 0 <= float(scored["pooled"]["value"]) <= 1
    assert int(scored["pooled"]["n_patients"]) == 24
    assert int(scored["pooled"]["n_pairs"]) > 50


def test_prediction_and_evaluation_agree_with_the_run(in_process, cohort, project, run, tmp_path):
    told, metrics = tmp_path / "told.csv", tmp_path / "metrics"
    left = in_process("predict", run / "fold-0", project, "--cohort", cohort[0], "-o", told)
    assert left.exit_code == 0, left.stderr
    everyone = {row["slide_id"]: row["risk"] for row in lines(told)}
    own = {row["slide_id"]: row["risk"] for row in lines(run / "fold-0" / "predictions.csv")}
    assert len(everyone) == 24
    assert own.items() <= everyone.items()
    left = in_process("evaluate", run / "predictions.csv", cohort[0], *FOLLOW_UP, "-o", metrics)
    assert left.exit_code == 0, left.stderr
    assert (metrics / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
