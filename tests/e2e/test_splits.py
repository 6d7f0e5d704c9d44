"""`wsitools splits`, typed as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def wsitools(tmp_path):
    """Run the command in an empty folder."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "wsi_tools", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    rows = [f"s{n},P{n // 2},{'high' if n // 2 % 2 else 'low'}" for n in range(40)]
    (tmp_path / "cohort.csv").write_text("slide_id,patient_id,grade\n" + "\n".join(rows) + "\n")
    return run


def test_a_split_is_made_told_found_again_and_clean(wsitools, tmp_path):
    made = wsitools("splits", "cohort.csv", "--label", "grade", "-o", "splits.csv")
    assert (made.returncode, made.stdout) == (0, "splits.csv\n")
    assert made.stderr.splitlines()[0] == (
        "cohort.csv: 40 slides of 20 patients; 20 slides of high, 20 slides of low"
    )
    assert "fold 4 test: 4 patients (2 high, 2 low)" in made.stderr
    before = (tmp_path / "splits.csv").stat().st_mtime_ns
    again = wsitools("splits", "cohort.csv", "--label", "grade", "-o", "splits.csv", "--json")
    assert json.loads(again.stdout) == {"splits": "splits.csv", "folds": 5, "repeats": 1}
    assert (tmp_path / "splits.csv").stat().st_mtime_ns == before
    other = wsitools("splits", "cohort.csv", "--label", "grade", "-o", "splits.csv", "--seed", 1)
    assert other.returncode == 4
    assert "another split is there" in other.stderr
    checked = wsitools("splits", "--check", "splits.csv")
    assert (checked.returncode, checked.stdout) == (0, "")
    assert checked.stderr == "splits.csv: 5 folds of 20 patients; no patient is on two sides\n"


def test_a_planted_leak_is_delivered_and_exits_4(wsitools, tmp_path):
    wsitools("splits", "cohort.csv", "--label", "grade", "-o", "splits.csv")
    text = (tmp_path / "splits.csv").read_text()
    lines = text.splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("0,test,"))
    lines[place] = lines[place].replace("test", "train")
    slide, patient = lines[place].split(",")[2:]
    (tmp_path / "leak.csv").write_text("\n".join(lines) + "\n")
    found = wsitools("splits", "--check", "leak.csv")
    assert found.returncode == 4
    assert found.stdout == (
        f"fold 0: patient {patient} is in train ({slide}) and test (s{int(slide[1:]) + 1})\n"
    )
    assert found.stderr.startswith("error: leak.csv: 1 leak; ")


def test_a_clam_split_is_checked_against_the_cohort(wsitools, tmp_path):
    (tmp_path / "splits_0.csv").write_text(",train,val,test\n0,s0,s2,s1\n")
    found = wsitools("splits", "cohort.csv", "--check", "splits_0.csv", "--json")
    assert found.returncode == 4
    assert json.loads(found.stdout) == {
        "repeat": 0,
        "fold": 0,
        "what": "patient P0",
        "slides": [["train", "s0"], ["test", "s1"]],
    }


def test_stdout_takes_the_table_itself(wsitools):
    made = wsitools("splits", "cohort.csv", "--label", "grade", "-o", "-", "--repeats", 2)
    lines = made.stdout.splitlines()
    assert lines[0] == "fold,role,slide_id,patient_id,repeat"
    assert len(lines) == 1 + 40 * 5 * 2


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["cohort.csv", "-o", "s.csv"], 2, "name its column with --label"),
        (["cohort.csv", "--label", "grade"], 2, "say where the split goes with --out"),
        (["cohort.csv", "--label", "stage", "-o", "s.csv"], 2, "it has slide_id, patient_id, gr"),
        (["cohort.csv", "--time", "grade", "--event", "status", "-o", "s.csv"], 2, "=VALUE"),
        (["cohort.csv", "--label", "grade", "--time", "t", "-o", "s.csv"], 2, "which --task"),
        (["cohort.csv", "--label", "grade", "--task", "ranking", "-o", "s.csv"], 2, "choose from"),
        (["cohort.csv", "--label", "grade", "--val", "0.9", "-o", "s.csv"], 2, "--val 0.9"),
        (["nowhere.csv", "--label", "grade", "-o", "s.csv"], 4, "No such file"),
        (["cohort.csv", "--label", "patient_id", "--folds", "21", "-o", "s.csv"], 4, "--folds 20"),
        (
            ["cohort.csv", "--time", "patient_id", "--event", "grade=low", "-o", "s.csv"],
            4,
            "line 2",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_its_code(wsitools, arguments, code, reason):
    done = wsitools("splits", *arguments)
    assert done.returncode == code
    assert reason in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")][-1:] == (
        done.stderr.splitlines()[-1:]
    )
    assert done.stdout == ""


def test_neither_torch_nor_a_data_frame_is_loaded(tmp_path):
    code = (
        "import sys; from wsi_tools.cohort import *; from wsi_tools.splits import *; "
        "print(sorted({'torch', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
