"""What cannot be learnt from: one clear line, the documented exit code, and nothing spoilt."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("--folds", "2", "--val", "0.2", "--epochs", "2")
GRADE = ("--label", "grade", "--classes", "low,high", *SHORT)
SURVIVAL = ("--task", "survival", "--time", "os_months", "--event", "died=1", *SHORT)


@pytest.fixture(scope="module")
def made(environment, tmp_path_factory):
    """(project, table) of 12 patients."""
    folder = tmp_path_factory.mktemp("made")
    script = ROOT / "sample_data" / "make_cohort.py"
    paths = os.pathsep.join((environment["PYTHONPATH"], str(ROOT)))
    command = [sys.executable, script, folder, "--patients", "12"]
    subprocess.run(command, env=environment | {"PYTHONPATH": paths}, check=True)
    return folder / "proj", folder / "cohort.csv"


@pytest.fixture
def project(made, tmp_path):
    """A copy of the project that a test may spoil."""
    return Path(shutil.copytree(made[0], tmp_path / "proj"))


@pytest.fixture
def edited(made, tmp_path):
    """Write the table anew, each row as a function leaves it."""

    def write(change):
        with made[1].open(newline="") as stream:
            rows = [row | change(row) for row in csv.DictReader(stream)]
        with (tmp_path / "cohort.csv").open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        return tmp_path / "cohort.csv"

    return write


def the_error(left):
    """The one line of a command that refused; nothing else is said of it."""
    errors = [line for line in left.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, left.stderr
    assert "Traceback" not in left.stderr
    return left.exit_code, errors[0]


def test_a_fold_that_would_learn_from_one_class_is_refused(in_process, made, edited, tmp_path):
    table = edited(lambda row: {"grade": "high" if row["patient_id"] == "P001" else "low"})
    splits, roles = tmp_path / "splits.csv", {"P001": "test", "P002": "test", "P003": "val"}
    lines = ["fold,role,slide_id,patient_id"]
    for line in table.read_text().splitlines()[1:]:
        slide, patient, *_ = line.split(",")
        lines.append(f"0,{roles.get(patient, 'train')},{slide},{patient}")
    splits.write_text("\n".join(lines))
    asked = ("--label", "grade", "--splits", splits, "--epochs", "2")
    code, told = the_error(in_process("train", made[0], table, *asked, "-o", tmp_path / "run"))
    assert code == 4
    assert told.startswith("error: fold 0: all its training cases are low, so that there is")
    assert not (tmp_path / "run").exists()


def test_a_cohort_of_the_censored_alone_is_refused(in_process, made, edited, tmp_path):
    table = edited(lambda _: {"died": "0"})
    code, told = the_error(in_process("train", made[0], table, *SURVIVAL, "-o", tmp_path / "run"))
    assert code == 4
    assert told == f"error: {table.name}: column 'died' never is '1'; it holds 0"


def test_a_slide_without_any_tile_to_use_is_named(wsitools, project, made, tmp_path):
    grid = next(project.glob("P001-1.zarr/grids/*"))
    zarr.open_array(grid / "tissue", mode="r+")[...] = np.float32(0.1)
    asked = (*GRADE, "--min-tissue", "0.5", "--fold", "0")
    left = wsitools("train", project, made[1], *asked, "-o", tmp_path / "run")
    assert left.code == 4
    assert "slide P001-1: none of its " in left.err
    assert "Traceback" not in left.err


def test_features_of_two_encoders_are_refused_by_name(in_process, project, made, tmp_path):
    store = project / "P003-1.zarr"
    features = next(store.glob("grids/*/features/*"))
    features.rename(features.with_name("another"))
    code, told = the_error(in_process("train", project, made[1], *GRADE, "-o", tmp_path / "run"))
    assert code == 4
    assert "P003-1" in told


@pytest.mark.faults
def test_a_disk_that_fills_up_leaves_the_finished_fold_and_the_run_goes_on(
    wsitools, mounted, made, tmp_path
):
    command = ("train", *made, *GRADE, "-o")
    whole = wsitools(*command, tmp_path / "whole")
    assert whole.code == 0, whole.err
    with mounted(tmp_path / "disk", "size=9m") as disk:
        run = disk / "run"
        assert wsitools(*command, run, "--fold", "0").code == 0
        kept = {path: path.read_bytes() for path in (run / "fold-0").iterdir()}
        room = shutil.disk_usage(disk).free - 400 * 1024  # less than a state of 1.2 MiB
        (disk / "ballast").write_bytes(bytes(room))
        full = wsitools(*command, run)
        assert {path: path.read_bytes() for path in kept} == kept
        (disk / "ballast").unlink()
        done = wsitools(*command, run)
        assert (run / "metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()
    assert full.code == 5
    assert full.err.splitlines()[-1] == (
        f"error: {run}: No space left on device; free space there or choose another --out, "
        "and run again"
    )
    assert done.code == 0, done.err
