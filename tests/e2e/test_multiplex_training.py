"""Features of several markers per tile, from the shell: fusions, refusals, marker attention."""

import csv
from pathlib import Path

import numpy as np
import pytest
import zarr
from make_cohort import make_cohort
from make_multiplex_cohort import MARKERS, make_multiplex_cohort

SHORT = ("--folds", "2", "--val", "0.2", "--epochs", "1", "--device", "cpu")
SURVIVAL = ("--task", "survival", "--time", "os_months", "--event", "died=1")
CLASSES = ("--label", "grade", "--classes", "low,high")


@pytest.fixture(scope="module")
def multiplex(tmp_path_factory):
    """(project, table) of 24 slides with features (6, 5, 8)."""
    folder = tmp_path_factory.mktemp("multiplex")
    table, project, _ = make_multiplex_cohort(folder, patients=24, tiles=6, width=8)
    return project, table


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(project, table) of 16 patients with a grade, three markers per tile."""
    table, project = make_cohort(tmp_path_factory.mktemp("graded"), patients=16, markers=3)
    return project, table


@pytest.fixture(scope="module")
def brightfield(tmp_path_factory):
    """(project, table) of 16 patients, one vector per tile."""
    table, project = make_cohort(tmp_path_factory.mktemp("brightfield"), patients=16)
    return project, table


@pytest.fixture(scope="module")
def trained(wsitools, multiplex, tmp_path_factory):
    """A Fluoroformer of two folds."""
    run = tmp_path_factory.mktemp("runs") / "fluoroformer"
    model = ("--model", "fluoroformer", "--set", "hidden_dim=8")
    left = wsitools("train", *multiplex, *SURVIVAL, *SHORT, *model, "-o", run)
    assert left.code == 0, left.err
    return run


def lines(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_fluoroformer_learns_survival_and_its_folds_are_scored(trained):
    scored = {row["fold"]: row for row in lines(trained / "metrics.csv")}
    assert set(scored) == {"0", "1", "mean", "pooled"}
    told = lines(trained / "predictions.csv")
    assert len(told) == 24
    assert all(np.isfinite(float(row["risk"])) for row in told)


@pytest.mark.parametrize("fusion", ["fluoroformer", "mean", "concat"])
def test_every_fusion_stands_before_another_aggregator(wsitools, graded, tmp_path, fusion):
    model = ("--model", "gated-abmil", "--channel-fusion", fusion, "--fold", "0")
    left = wsitools("train", *graded, *CLASSES, *SHORT, *model, "-o", tmp_path / "run")
    assert left.code == 0, left.err
    assert (tmp_path / "run" / "fold-0" / "model.safetensors").is_file()


def test_concatenation_counts_the_markers_of_the_features(in_process, multiplex):
    model = ("--model", "mean", "--channel-fusion", "concat")
    left = in_process("train", *multiplex, *SURVIVAL, *SHORT, *model, "--dry-run")
    assert left.exit_code == 0, left.stderr
    assert f'"parameters": {5 * 8 * 4 + 4}' in left.stdout


@pytest.mark.parametrize(
    "model",
    [
        ("--model", "fluoroformer"),
        ("--recipe", "fluoroformer"),
        ("--model", "abmil", "--channel-fusion", "fluoroformer"),
        ("--model", "abmil", "--channel-fusion", "concat"),
        ("--model", "roformer", "--channel-fusion", "mean"),
    ],
)
def test_a_model_of_markers_refuses_features_without_any(in_process, brightfield, tmp_path, model):
    left = in_process("train", *brightfield, *SURVIVAL, *SHORT, *model, "-o", tmp_path / "run")
    errors = [line for line in left.stderr.splitlines() if line.startswith("error: ")]
    assert (left.exit_code, len(errors)) == (2, 1), left.stderr
    assert "reads features of several markers per tile, and these have none" in errors[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["abmil", "roformer", "transmil", "mean"])
def test_a_model_of_tiles_refuses_features_of_markers(in_process, multiplex, tmp_path, model):
    asked = (*SURVIVAL, *SHORT, "--model", model)
    left = in_process("train", *multiplex, *asked, "-o", tmp_path / "run")
    errors = [line for line in left.stderr.splitlines() if line.startswith("error: ")]
    assert (left.exit_code, len(errors)) == (2, 1), left.stderr
    assert "reads one vector per tile, and these have 5 markers each" in errors[0]
    assert "--channel-fusion fluoroformer, mean or concat" in errors[0]
    assert not (tmp_path / "run").exists()


def test_a_trained_model_refuses_slides_of_other_markers(in_process, trained, graded, tmp_path):
    left = in_process("predict", trained, graded[0], "-o", tmp_path / "told.csv")
    assert left.exit_code == 2, left.stderr
    assert "has no features" in left.stderr


def test_the_attention_table_says_what_every_marker_receives(
    in_process, trained, multiplex, tmp_path
):
    asked = ("-o", tmp_path / "told.csv", "--attention", tmp_path / "attention")
    left = in_process("predict", trained / "fold-0", multiplex[0], *asked)
    assert left.exit_code == 0, left.stderr
    rows = lines(tmp_path / "attention" / "P000-1.csv")
    assert list(rows[0]) == [
        *("x", "y", "row", "column", "attention"),
        *(f"marker:{name}" for name in MARKERS),
    ]
    assert sum(float(row["attention"]) for row in rows) == pytest.approx(1, abs=1e-5)
    for row in rows:
        received = [float(row[f"marker:{name}"]) for name in MARKERS]
        assert sum(received) == pytest.approx(1, abs=1e-5)


def test_the_attention_array_says_what_every_marker_asks_of_every_other(
    in_process, trained, multiplex, tmp_path
):
    folders = {"run": trained, "fold-0": trained / "fold-0", "fold-1": trained / "fold-1"}
    groups = {}
    for name, folder in folders.items():
        place = tmp_path / name
        asked = ("-o", place / "told.csv", "--attention", place, "--attention-as", "zarr")
        left = in_process("predict", folder, multiplex[0], *asked)
        assert left.exit_code == 0, left.stderr
        groups[name] = zarr.open_group(place / "P000-1.attention.zarr", mode="r")
    pairs = {name: np.asarray(group["marker_attention"][...]) for name, group in groups.items()}
    assert groups["run"].attrs["markers"] == list(MARKERS)
    assert pairs["run"].shape == (6, 5, 5)
    np.testing.assert_allclose(pairs["run"].sum(axis=2), 1, atol=1e-5)
    mean = (pairs["fold-0"] + pairs["fold-1"]) / 2
    np.testing.assert_allclose(pairs["run"], mean, atol=1e-6)
    columns = groups["fold-0"].attrs["names"]
    received = np.asarray(groups["fold-0"]["attention"][...])[:, columns.index("marker:A")]
    np.testing.assert_allclose(pairs["fold-0"].mean(axis=1)[:, 0], received, atol=1e-6)
    assert np.ptp(pairs["run"]) > 0.01  # it is no table of 1/M
