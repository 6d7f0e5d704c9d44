"""`wsitools evaluate`: tables of predictions and cohorts in, tables of metrics out."""

import csv
import json

import numpy as np
import pytest


def write(path, header, lines):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return path


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def value(folder, metric, fold="pooled", name="metrics.csv"):
    (line,) = [x for x in table(folder / name) if (x["metric"], x["fold"]) == (metric, fold)]
    return float(line["value"])


@pytest.fixture
def grades(tmp_path):
    """40 patients of two sites, two slides each, in 4 folds; probabilities know the grade."""
    rng = np.random.default_rng(0)
    grade = rng.permutation(np.repeat([0, 1], 20))
    cohort, lines = [], []
    for patient in range(40):
        for slide in "ab":
            name = f"p{patient}-{slide}"
            prob = 1 / (1 + np.exp(-rng.normal(2 * grade[patient] - 1)))
            cohort.append((name, f"p{patient}", ("low", "high")[grade[patient]], "xy"[patient % 2]))
            lines.append((name, f"p{patient}", patient % 4, prob, 1 - prob))
    header = ("slide_id", "patient_id", "fold", "prob_high", "prob_low")
    columns = ("slide_id", "patient_id", "grade", "site")
    return write(tmp_path / "preds.csv", header, lines), write(
        tmp_path / "cohort.csv", columns, cohort
    )


@pytest.fixture
def outcomes(tmp_path):
    """60 patients in 3 folds, followed up; risks know the outcome."""
    rng = np.random.default_rng(1)
    risk = rng.normal(size=60)
    seen, gone = rng.exponential(100 * np.exp(-risk)), rng.exponential(150, 60)
    cohort = [
        (f"s{k}", f"p{k}", min(seen[k], gone[k]), "dead" if seen[k] <= gone[k] else "alive")
        for k in range(60)
    ]
    lines = [(f"s{k}", f"p{k}", k % 3, risk[k], np.exp(-0.5 * np.exp(risk[k]))) for k in range(60)]
    header = ("slide_id", "patient_id", "fold", "risk", "surv_50")
    columns = ("slide_id", "patient_id", "days", "vital")
    return write(tmp_path / "preds.csv", header, lines), write(
        tmp_path / "cohort.csv", columns, cohort
    )


def test_classes_are_measured_per_fold_and_pooled(wsitools, grades, tmp_path):
    out = tmp_path / "eval"
    done = wsitools("evaluate", *grades, "-o", out, "--label", "grade", "--draws", 200)
    assert done.code == 0, done.err
    lines = table(out / "metrics.csv")
    assert list(lines[0]) == ["metric", "fold", "value", "lo", "hi", "n_patients", "n_pairs"]
    auroc = {line["fold"]: line for line in lines if line["metric"] == "auroc"}
    assert list(auroc) == ["0", "1", "2", "3", "mean", "pooled"]
    pooled = auroc["pooled"]
    assert 0.7 < float(pooled["lo"]) < float(pooled["value"]) < float(pooled["hi"]) <= 1
    assert pooled["n_patients"] == "40"
    assert int(pooled["n_pairs"]) == sum(int(auroc[fold]["n_pairs"]) for fold in "0123")
    assert json.loads((out / "summary.json").read_text())["auroc"]["folds"] == 4
    assert {line["class"] for line in table(out / "roc.csv")} == {"high", "low"}
    assert sum(int(x["n"]) for x in table(out / "calibration.csv") if x["class"] == "low") == 40
    assert done.out == [
        str(out / name)
        for name in (
            "metrics.csv",
            "summary.json",
            "roc.csv",
            "precision_recall.csv",
            "calibration.csv",
        )
    ]


def test_slides_are_averaged_before_they_are_called(wsitools, tmp_path):
    """Two slides at 0.9 and 0.3 are a patient at 0.6."""
    header = ("slide_id", "patient_id", "fold", "prob_no", "prob_yes")
    lines = [("a", "p", 0, 0.1, 0.9), ("b", "p", 0, 0.7, 0.3), ("c", "q", 0, 0.8, 0.2)]
    preds = write(tmp_path / "preds.csv", header, lines)
    known = [("a", "p", "yes"), ("b", "p", "yes"), ("c", "q", "no")]
    cohort = write(tmp_path / "cohort.csv", ("slide_id", "patient_id", "label"), known)
    out = tmp_path / "eval"
    done = wsitools("evaluate", preds, cohort, "-o", out, "--label", "label", "--draws", 0)
    assert done.code == 0, done.err
    assert value(out, "accuracy") == 1
    assert value(out, "brier") == pytest.approx((0.4**2 + 0.2**2) / 2)


def test_groups_and_thresholds(wsitools, grades, tmp_path):
    out = tmp_path / "eval"
    asked = ("--label", "grade", "--draws", 50, "--by", "site", "--threshold", 0.01)
    done = wsitools("evaluate", *grades, "-o", out, *asked)
    assert done.code == 0, done.err
    sites = {line["site"] for line in table(out / "metrics_by_site.csv")}
    assert sites == {"x", "y"}
    assert value(out, "sensitivity") == 1


def test_two_runs_are_compared_patient_by_patient(wsitools, grades, tmp_path):
    out = tmp_path / "eval"
    asked = ("--label", "grade", "--draws", 50, "--against", grades[0])
    done = wsitools("evaluate", *grades, "-o", out, *asked)
    assert done.code == 0, done.err
    for line in table(out / "comparison.csv"):
        assert float(line["value"]) == 0 or line["value"] == "nan"
        assert line["lo"] == line["hi"]


def test_follow_ups_refer_to_the_other_folds(wsitools, outcomes, tmp_path):
    out = tmp_path / "eval"
    asked = ("--time", "days", "--event", "vital=dead", "--loss", "nll", "--draws", 100)
    done = wsitools("evaluate", *outcomes, "-o", out, *asked, "--cut", 0)
    assert done.code == 0, done.err
    assert "from the patients of the other folds" in done.err
    assert value(out, "c_harrell") > 0.7
    assert value(out, "c_uno") > 0.65
    assert value(out, "auc@q50") > 0.7
    assert value(out, "logrank_p_descriptive") < 0.01
    assert {line["group"] for line in table(out / "kaplan_meier.csv")} == {"low", "high"}
    assert len(table(out / "survival_calibration.csv")) == 5


def test_cox_scores_are_not_pooled_over_folds(wsitools, outcomes, tmp_path):
    out = tmp_path / "eval"
    asked = ("--time", "days", "--event", "vital=dead", "--loss", "cox", "--draws", 0)
    done = wsitools("evaluate", *outcomes, "-o", out, *asked)
    assert done.code == 0, done.err
    folds = [line["fold"] for line in table(out / "metrics.csv") if line["metric"] == "c_harrell"]
    assert folds == ["0", "1", "2", "mean"]


def test_a_finished_evaluation_is_not_repeated(wsitools, grades, tmp_path):
    command = ("evaluate", *grades, "-o", tmp_path / "eval", "--label", "grade", "--draws", 10)
    first = wsitools(*command)
    before = (tmp_path / "eval" / "metrics.csv").stat().st_mtime_ns
    assert wsitools(*command).out == first.out
    assert (tmp_path / "eval" / "metrics.csv").stat().st_mtime_ns == before
    other = wsitools(*command, "--seed", 1)
    assert other.code == 4
    assert "seed: 1 asked, 0 there" in other.err
    assert wsitools(*command, "--seed", 1, "--overwrite").code == 0


def test_json_gives_the_metrics_line_by_line(wsitools, grades, tmp_path):
    asked = ("--label", "grade", "--draws", 10, "--json")
    done = wsitools("evaluate", *grades, "-o", tmp_path / "eval", *asked)
    assert {"metric", "fold", "value", "lo", "hi"} <= set(done.rows[0])


def test_a_dry_run_writes_nothing(wsitools, grades, tmp_path):
    done = wsitools("evaluate", *grades, "--label", "grade", "--dry-run")
    assert done.code == 0
    assert "40 patients in 4 folds" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort.csv", "preds.csv"]


def test_conflicting_labels_of_a_patient_are_bad_data(wsitools, grades, tmp_path):
    cohort = grades[1]
    lines = cohort.read_text().splitlines()
    swapped = {"low": "high", "high": "low"}
    name, patient, grade, site = lines[1].split(",")
    lines[1] = ",".join((name, patient, swapped[grade], site))
    cohort.write_text("\n".join(lines) + "\n")
    done = wsitools("evaluate", *grades, "-o", tmp_path / "eval", "--label", "grade")
    assert done.code == 4
    assert "patient p0 has another target" in done.err
    assert not (tmp_path / "eval").exists()


def test_a_place_that_cannot_be_written_is_the_machines_fault(wsitools, grades, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    done = wsitools("evaluate", *grades, "-o", tmp_path / "taken" / "eval", "--label", "grade")
    assert done.code == 5
    assert "choose another --out" in done.err


def test_survival_predictions_are_not_taken_for_classes(wsitools, outcomes, tmp_path):
    done = wsitools("evaluate", *outcomes, "-o", tmp_path / "eval", "--label", "vital")
    assert done.code == 2
    assert "no column prob_" in done.err
