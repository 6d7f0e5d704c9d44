"""From features to models, predictions and metrics, as a shell would have it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("--label", "grade", "--classes", "low,high")
SHORT = (*LABELS, "--folds", "2", "--val", "0.2", "--epochs", "2")
QUICK = ("--folds", "2", "--val", "0.2", "--epochs", "12", "--patience", "0", "--lr", "1e-3")
STEADY = (*LABELS, *QUICK, "--stabilize", "asmil")
KEPT = ("model.safetensors", "model.json", "history.csv", "predictions.csv")


def table_of(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def here(in_process):
    """Run what needs no worker in this process."""
    return lambda *arguments: in_process(*map(str, arguments))


@pytest.fixture(scope="session")
def synthetic(environment, tmp_path_factory):
    """(project, table) of 60 patients with a planted signal, made as the demo makes them."""
    folder = tmp_path_factory.mktemp("synthetic")
    script = ROOT / "sample_data" / "make_cohort.py"
    paths = os.pathsep.join((environment["PYTHONPATH"], str(ROOT)))
    command = [sys.executable, script, folder]
    subprocess.run(command, env=environment | {"PYTHONPATH": paths}, check=True)
    return folder / "proj", folder / "cohort.csv"


@pytest.fixture(scope="session")
def trained(wsitools, synthetic, tmp_path_factory):
    """(run, what the command left): two folds, both at a time."""
    run = tmp_path_factory.mktemp("runs") / "abmil"
    return run, wsitools("train", *synthetic, *STEADY, "--jobs", "2", "-o", run)


def test_a_planted_signal_is_found(trained):
    run, left = trained
    assert left.code == 0, left.err
    assert sorted(left.out[:-1]) == [str(run / f"fold-{k}") for k in range(2)]
    assert left.out[-1] == str(run)
    pooled = next(
        row
        for row in table_of(run / "metrics.csv")
        if row["metric"] == "auroc" and row["fold"] == "pooled"
    )
    assert float(pooled["value"]) >= 0.9
    assert float(pooled["lo"]) < float(pooled["value"]) < float(pooled["hi"]) + 1e-9
    assert "auroc: " in left.err


def test_the_run_holds_what_the_contract_says(trained, synthetic):
    run, _ = trained
    for fold in range(2):
        assert sorted(path.name for path in (run / f"fold-{fold}").iterdir()) == sorted(KEPT)
    assert {path.name for path in run.iterdir() if path.is_file()} == {
        *("run.json", "run.toml", "splits.csv"),
        *("summary.json", "metrics.csv", "predictions.csv"),
    }
    slides = [row["slide_id"] for row in table_of(synthetic[1])]
    assert sorted(row["slide_id"] for row in table_of(run / "predictions.csv")) == sorted(slides)


def test_the_same_command_has_nothing_to_do(wsitools, trained, synthetic, snapshot):
    run, first = trained
    before = snapshot(run)
    again = wsitools("train", "--config", run / "run.toml")
    assert (again.code, sorted(again.out)) == (0, sorted(first.out))
    after = snapshot(run)
    assert [name for name in before if before[name][1] != after[name][1]] == []
    assert [
        name for name in before if name.startswith("fold") and before[name] != after[name]
    ] == []


def test_another_request_is_refused_by_name(here, trained, synthetic):
    run, _ = trained
    left = here("train", *synthetic, *STEADY, "--clip", "5", "-o", run)
    assert left.exit_code == 4
    assert "recipe.clip: 5.0 asked, 0.0 there" in left.stderr


def test_evaluate_finds_the_run_as_good_as_it_says(here, trained, synthetic, tmp_path):
    run, _ = trained
    arguments = ("--label", "grade", "-o", tmp_path / "metrics")
    left = here("evaluate", run / "predictions.csv", synthetic[1], *arguments)
    assert left.exit_code == 0, left.stderr
    assert (tmp_path / "metrics" / "metrics.csv").read_text() == (run / "metrics.csv").read_text()


@pytest.mark.faults
def test_a_run_killed_in_its_third_epoch_ends_with_the_same_numbers(
    wsitools, start, synthetic, trained, tmp_path
):
    command = ("train", *synthetic, *STEADY, "--fold", "0", "-o", tmp_path / "run")
    fold = tmp_path / "run" / "fold-0"
    with start(*command) as process:
        while not _epochs(fold) >= 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (fold / "model.json").exists()
    again = wsitools(*command, "--resume")
    assert (again.code, again.out) == (0, [str(fold)]), again.err
    assert "still to be trained: fold1; then the run is summarised" in again.err
    for name in KEPT:
        assert (fold / name).read_bytes() == (trained[0] / "fold-0" / name).read_bytes()


def _epochs(fold):
    """How many epochs of a fold are in its history."""
    history = fold / "history.csv"
    return history.read_text().count("\n") - 1 if history.exists() else 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ("--model", "clam-sb", "--task", "survival", "--time", "os_months", "--event", "died"),
            2,
            "makes sense for",
        ),
        (("--loss", "cox"), 2, "--loss cox: for this target choose ce"),
        (("--set", "width=3"), 2, "no parameter 'width'"),
        (("--recipe", "nobody"), 2, "--recipe nobody: choose from"),
        (("--fold", "7"), 2, "--fold 7: the split has the folds 0, 1"),
        (("--resume",), 4, "nothing to resume"),
        (("--model", "persam"), 2, "needs a clinical record"),
        (("--device", "cuda:99"), 5, "GPUs here"),
    ],
)
def test_what_cannot_be_is_one_line_and_its_code(here, synthetic, tmp_path, arguments, code, told):
    labels = () if "--time" in arguments else LABELS
    short = ("--folds", "2", "--val", "0.2", "--epochs", "1")
    left = here("train", *synthetic, *labels, *short, *arguments, "-o", tmp_path / "run")
    errors = [line for line in left.stderr.splitlines() if line.startswith("error: ")]
    assert (left.exit_code, len(errors)) == (code, 1), left.stderr
    assert told in errors[0]
    assert "Traceback" not in left.stderr


def test_a_slide_without_a_store_is_named(here, synthetic, tmp_path):
    table = tmp_path / "more.csv"
    rows = synthetic[1].read_text() + "stranger,P999,site-0,high,II,1,0.4,50,3.0,1\n"
    table.write_text(rows)
    left = here("train", synthetic[0], table, *SHORT, "-o", tmp_path / "run")
    assert left.exit_code == 4
    assert "no store for 1 of" in left.stderr
    assert "stranger" in left.stderr


def test_features_that_are_not_finite_name_their_slide(wsitools, synthetic, tmp_path):
    project = tmp_path / "proj"
    shutil.copytree(synthetic[0], project)
    array = zarr.open_array(next(project.glob("P001-1.zarr/grids/*/features/*")), mode="r+")
    values = np.array(array[...])
    values[3] = np.nan
    array[...] = values
    left = wsitools("train", project, synthetic[1], *SHORT, "--fold", "0", "-o", tmp_path / "run")
    assert left.code == 4
    assert "slide P001-1: the features synthetic of tile 3 are not finite" in left.err


def test_a_dry_run_tells_and_writes_nothing(here, synthetic, tmp_path):
    left = here("train", *synthetic, *SHORT, "--dry-run", "-o", tmp_path / "run")
    rows = [json.loads(line) for line in left.stdout.splitlines()]
    assert [row["fold"] for row in rows] == [0, 1]
    assert all(row["train"] > row["val"] > 0 for row in rows)
    assert {row["parameters"] for row in rows} == {16 * 500 + 500 + 500 * 128 + 128 + 129 + 1002}
    assert not (tmp_path / "run").exists()


def test_a_run_predicts_as_the_mean_of_its_folds(here, trained, synthetic, tmp_path):
    run, _ = trained
    project, cohort = synthetic
    left = here("predict", run, project, "-o", tmp_path / "all.csv", "--cohort", cohort)
    assert (left.exit_code, left.stdout.splitlines()) == (0, [str(tmp_path / "all.csv")]), (
        left.stderr
    )
    rows = table_of(tmp_path / "all.csv")
    assert {row["fold"] for row in rows} == {"ensemble"}
    single = [
        here("predict", run / f"fold-{k}", project, "-o", "-").stdout.splitlines() for k in range(2)
    ]
    assert single[0][0] == "slide_id,patient_id,fold,prob_low,prob_high"
    assert len(single[0]) == len(rows) + 1
    own = {
        row["slide_id"]: row["prob_high"] for row in table_of(run / "fold-0" / "predictions.csv")
    }
    again = {line.split(",")[0]: line.split(",")[4] for line in single[0][1:]}
    assert all(again[slide] == prob for slide, prob in own.items())
    mean = np.mean([float(row["prob_high"]) for row in rows])
    assert 0.2 < mean < 0.8
    assert all(0 <= float(row["sd_prob_high"]) < 0.5 for row in rows)


def test_slides_that_helped_to_train_the_models_are_told_of(here, trained, synthetic, tmp_path):
    run, _ = trained
    project, _ = synthetic
    every, tested = table_of(run / "predictions.csv"), table_of(run / "fold-0" / "predictions.csv")
    of_run = here("predict", run, project, "-o", "-").stderr
    of_fold = here("predict", run / "fold-0", project, "-o", "-").stderr
    assert f"warning: {len(every)} of {len(every)} slides helped to train these models" in of_run
    assert f"warning: {len(every) - len(tested)} of {len(every)} slides helped" in of_fold
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    held_out = f"{tested[0]['slide_id']}.zarr"
    shutil.copytree(project / held_out, fresh / held_out)
    assert "helped to train" not in here("predict", run / "fold-0", fresh, "-o", "-").stderr


def test_predictions_need_no_label(here, trained, synthetic, tmp_path):
    table = tmp_path / "unlabelled.csv"
    rows = [f"{row['slide_id']},{row['patient_id']}" for row in table_of(synthetic[1])]
    table.write_text("\n".join(("slide_id,patient_id", *rows)))
    out = tmp_path / "preds.csv"
    left = here("predict", trained[0], synthetic[0], "--cohort", table, "-o", out)
    assert left.exit_code == 0, left.stderr
    assert len(table_of(out)) == len(rows)


@pytest.mark.parametrize("kind", ["csv", "zarr"])
def test_attention_has_a_row_per_tile_of_the_grid(here, trained, synthetic, tmp_path, kind):
    project, maps = tmp_path / "proj", tmp_path / "maps"
    shutil.copytree(synthetic[0] / "P001-1.zarr", project / "P001-1.zarr")
    grid = next((project / "P001-1.zarr" / "grids").iterdir())
    valid = zarr.open_array(grid / "valid", mode="r+")
    tiles = np.array(valid[...])
    tiles[2] = 0
    valid[...] = tiles
    arguments = ("--attention", maps, "--attention-as", kind, "-o", tmp_path / "preds.csv")
    left = here("predict", trained[0] / "fold-0", project, *arguments)
    assert left.exit_code == 0, left.stderr
    if kind == "csv":
        rows = table_of(maps / "P001-1.csv")
        xy = [[int(row["x"]), int(row["y"])] for row in rows]
        weights = np.array([float(row["attention"]) for row in rows])
    else:
        group = zarr.open_group(maps / "P001-1.attention.zarr", mode="r")
        xy, weights = group["coords"][...].tolist(), group["attention"][...][:, 0]
        assert group.attrs["names"] == ["attention"]
    assert xy == zarr.open_array(grid / "coords", mode="r")[...].tolist()
    assert np.flatnonzero(np.isnan(weights)).tolist() == [2]
    assert np.nansum(weights) == pytest.approx(1, abs=1e-5)


def test_features_of_another_encoder_are_refused(here, trained, embedded, tmp_path):
    left = here("predict", trained[0], embedded[0], "-o", tmp_path / "preds.csv")
    assert left.exit_code in (2, 4), left.stderr
    assert "synthetic" in left.stderr
    assert not (tmp_path / "preds.csv").exists()


def test_features_of_another_geometry_are_refused(here, trained, synthetic, tmp_path):
    project = tmp_path / "proj"
    shutil.copytree(synthetic[0] / "P001-1.zarr", project / "P001-1.zarr")
    grid = zarr.open_group(next((project / "P001-1.zarr" / "grids").iterdir()), mode="r+")
    grid.attrs["requested"] = {**grid.attrs["requested"], "mpp": 1.0}
    left = here("predict", trained[0], project, "-o", tmp_path / "preds.csv")
    assert left.exit_code == 4
    assert "tiles.mpp: 0.5 in training, 1.0 here" in left.stderr


def test_an_edited_checkpoint_is_refused(here, trained, synthetic, tmp_path):
    fold = tmp_path / "fold-0"
    shutil.copytree(trained[0] / "fold-0", fold)
    text = (fold / "model.json").read_text()
    (fold / "model.json").write_text(text.replace('"low"', '"none"'))
    left = here("predict", fold, synthetic[0], "-o", tmp_path / "preds.csv")
    assert left.exit_code == 4
    assert "model.json: was edited after training" in left.stderr


def test_other_predictions_are_not_overwritten_by_accident(here, trained, synthetic, tmp_path):
    out = tmp_path / "preds.csv"
    out.write_text("slide_id\n")
    left = here("predict", trained[0] / "fold-0", synthetic[0], "-o", out)
    assert left.exit_code == 4
    assert "other predictions are there" in left.stderr
    assert out.read_text() == "slide_id\n"


def test_copies_of_one_image_on_both_sides_are_refused(here, synthetic, tmp_path):
    shutil.copytree(synthetic[0], tmp_path / "proj")
    shutil.copytree(tmp_path / "proj" / "P001-1.zarr", tmp_path / "proj" / "copy.zarr")
    table = tmp_path / "cohort.csv"
    table.write_text(synthetic[1].read_text() + "copy,P999,site-0,high,II,1,0.4,50,3.0,1\n")
    apart = ("--seed", "4")  # a split that has the two in different parts
    left = here("train", tmp_path / "proj", table, *SHORT, *apart, "-o", tmp_path / "run")
    assert left.exit_code == 4
    assert "copy" in left.stderr
    assert "P001-1" in left.stderr


@pytest.mark.slow
def test_missing_features_are_prepared_as_the_training_slides_were(
    wsitools, here, embedded, svs, tmp_path
):
    store = next(embedded[0].glob("*.zarr"))
    image = json.loads((store / "zarr.json").read_text())["attributes"]["wsitools"]["slide"]
    rows = []
    for number in range(8):  # the same features under eight names, as if of eight images
        copy = tmp_path / "proj" / f"s{number}.zarr"
        shutil.copytree(store, copy)
        root = (copy / "zarr.json").read_text().replace(image["fingerprint"], f"image {number}")
        (copy / "zarr.json").write_text(root)
        rows.append(f"s{number},s{number},{'ab'[number % 2]}")
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(("slide_id,patient_id,label", *rows)))
    options = ("--label", "label", "--folds", "2", "--val", "0", "--patience", "0")
    options = (*options, "--epochs", "1", "--model", "mean", "--fold", "0")
    left = wsitools("train", tmp_path / "proj", table, *options, "-o", tmp_path / "run")
    assert left.code == 0, left.err

    fold, out = tmp_path / "run" / "fold-0", tmp_path / "preds.csv"
    stores = ("--stores", tmp_path / "new")
    new = wsitools("predict", fold, svs, "--from-slides", *stores, "-o", out)
    assert (new.code, new.out) == (0, [str(out)]), new.err
    known = here("predict", fold, embedded[0], "-o", "-").stdout.splitlines()
    assert out.read_text().splitlines() == known
