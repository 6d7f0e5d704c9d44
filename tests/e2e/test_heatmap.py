"""Heat maps from the shell: what is written, done again, refused and survived."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--folds", "2", "--val", "0.2", "--epochs", "2", "--label", "grade")
EVERY = ("--to", "png,csv,geojson,ome-tiff,rgb-tiff", "--picture-px", "256")


@pytest.fixture(scope="module")
def made(wsitools, environment, tmp_path_factory):
    """(run, project) of twelve synthetic patients."""
    folder = tmp_path_factory.mktemp("heatmap")
    paths = os.pathsep.join((environment["PYTHONPATH"], str(ROOT)))
    script = [sys.executable, ROOT / "sample_data" / "make_cohort.py", folder, "--patients", "12"]
    subprocess.run(script, env=environment | {"PYTHONPATH": paths}, check=True)
    left = wsitools("train", folder / "proj", folder / "cohort.csv", *QUICK, "-o", folder / "run")
    assert left.code == 0, left.err
    return folder / "run", folder / "proj"


@pytest.fixture(scope="module")
def mapped(wsitools, made, tmp_path_factory):
    """(folder, what the command left) of every kind of file."""
    out = tmp_path_factory.mktemp("maps") / "maps"
    return out, wsitools("heatmap", *made, "-o", out, *EVERY)


def test_every_slide_has_every_file(mapped, made):
    out, left = mapped
    assert left.code == 0, left.err
    slides = sorted(path.stem for path in made[1].glob("*.zarr"))
    kinds = ("attention.png", "csv", "geojson", "ome.tiff", "attention.rgb.ome.tiff")
    expected = sorted(str(out / f"{slide}.{kind}") for slide in slides for kind in kinds)
    assert sorted(left.out) == expected
    assert all(Path(path).is_file() for path in expected)


def test_every_slide_is_seen_by_the_fold_that_was_tested_on_it(mapped, made):
    with (made[0] / "predictions.csv").open(newline="") as stream:
        honest = {row["slide_id"]: row for row in csv.DictReader(stream)}
    for record in mapped[0].glob("*.heatmap.json"):
        row = json.loads(record.read_text())["made"]
        told = honest[row["slide_id"]]
        assert row["judges"] == {"models": [f"fold-{told['fold']}"], "known": "tested"}
        assert row["predicted"]["prob_high"] == pytest.approx(float(told["prob_high"]), abs=1e-6)


def test_the_same_command_has_nothing_to_do(wsitools, mapped, made, snapshot):
    out, first = mapped
    before = snapshot(out)
    again = wsitools("heatmap", *made, "-o", out, *EVERY)
    assert (again.code, sorted(again.out)) == (0, sorted(first.out))
    assert snapshot(out) == before


def test_another_request_is_refused_by_name(wsitools, mapped, made):
    left = wsitools("heatmap", *made, "-o", mapped[0], *EVERY, "--scaling", "raw")
    assert left.code == 4
    assert 'scaling: "raw" asked, "percentile" there' in left.err


def test_a_dry_run_says_who_looks_and_writes_nothing(in_process, made, tmp_path):
    left = in_process("heatmap", *made, "-o", tmp_path / "maps", "--dry-run")
    rows = [json.loads(line) for line in left.stdout.splitlines()]
    assert left.exit_code == 0
    assert {row["judges"].partition(",")[2] for row in rows} == {" tested on this slide"}
    assert not any(row["slide_there"] or row["done"] for row in rows)
    assert not (tmp_path / "maps").exists()


def test_a_score_the_model_has_not_ends_the_command_with_those_it_has(wsitools, made, tmp_path):
    left = wsitools("heatmap", *made, "-o", tmp_path / "maps", "--score", "marker:CD8")
    assert left.code == 2
    assert "--score marker:CD8: the model offers attention" in left.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--to", "gif"), 2, "--to gif: choose from png"),
        (("--what-if", "age"), 2, "--what-if age: give COLUMN=VALUE"),
        (("--device", "cuda:99"), 5, "GPUs here"),
    ],
)
def test_what_cannot_be_is_one_line_and_its_code(in_process, made, tmp_path, arguments, code, told):
    left = in_process("heatmap", *made, "-o", tmp_path / "maps", *arguments)
    assert left.exit_code == code
    assert told in left.stderr


def test_a_fold_that_learnt_from_slides_is_warned_of(in_process, made, tmp_path):
    left = in_process("heatmap", made[0] / "fold-0", made[1], "-o", tmp_path / "maps")
    with (made[0] / "predictions.csv").open(newline="") as stream:
        others = [row for row in csv.DictReader(stream) if row["fold"] != "0"]
    slides = len(list(made[1].glob("*.zarr")))
    assert left.exit_code == 0
    assert f"{len(others)} of {slides} slides helped to train" in left.stderr


def test_a_torn_store_fails_alone_and_is_listed(wsitools, made, tmp_path):
    project = shutil.copytree(made[1], tmp_path / "proj")
    for chunk in (project / "P003-1.zarr").glob("grids/*/features/synthetic/c/0/0"):
        chunk.write_bytes(chunk.read_bytes()[:-100])
    left = wsitools("heatmap", made[0], project, "-o", tmp_path / "maps", "--workers", "2")
    assert left.code == 4
    assert "failed: P003-1" in left.err
    with (tmp_path / "maps" / "failures.csv").open(newline="") as stream:
        assert [row["slide_id"] for row in csv.DictReader(stream)] == ["P003-1"]
    assert len(list((tmp_path / "maps").glob("*.png"))) == len(list(project.glob("*.zarr"))) - 1
