"""Predictions beside a cohort: who is averaged, who is left out, and what is refused."""

import json

import numpy as np
import pytest

from wsi_tools.cohort import (
    Classification,
    Multilabel,
    Regression,
    Survival,
    event_coding,
    read_cohort,
)
from wsi_tools.errors import DataError, InputError
from wsi_tools.evaluation import calling, join, of_other_folds, read_predictions, read_references
from wsi_tools.metrics import Reference

PREDICTIONS = """slide_id,patient_id,fold,prob_no,prob_yes
a1,a,0,0.1,0.9
a2,a,0,0.5,0.5
b1,b,0,0.8,0.2
c1,c,1,0.7,0.3
"""
COHORT = """slide_id,patient_id,label,egfr,days,dead,score,site
a1,a,yes,1,5,1,0.5,x
a2,a,yes,1,5,1,0.5,x
b1,b,no,0,7,0,0.1,y
c1,c,no,0,9,1,0.2,
d1,d,yes,1,4,1,0.9,y
"""
LABEL = Classification("label")


@pytest.fixture
def joined(tmp_path):
    """Join the two tables, either of them edited."""

    def run(target=LABEL, predictions=PREDICTIONS, cohort=COHORT, **options):
        (tmp_path / "predictions.csv").write_text(predictions)
        (tmp_path / "cohort.csv").write_text(cohort)
        known = read_cohort(tmp_path / "cohort.csv", slide_labels=options.pop("slides", False))
        return join(read_predictions(tmp_path / "predictions.csv"), known, target, **options)

    return run


def test_slides_of_a_patient_become_one_row(joined):
    rows = joined().rows
    assert rows.patient.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(rows.prob[:, 1], [0.7, 0.2, 0.3])
    assert rows.truth.tolist() == [1, 0, 0]
    assert rows.classes == ("no", "yes")


def test_slides_with_labels_of_their_own_stay_apart(joined):
    cohort = COHORT.replace("a2,a,yes", "a2,a,no")
    rows = joined(cohort=cohort, slides=True).rows
    assert rows.patient.tolist() == ["a", "a", "b", "c"]
    assert rows.truth.tolist() == [1, 0, 0, 0]


def test_a_row_may_be_of_a_patient(joined):
    predictions = "slide_id,fold,prob_no,prob_yes\na,0,0.2,0.8\n"
    assert joined(predictions=predictions).rows.prob.tolist() == [[0.2, 0.8]]


def test_seeds_are_folds_of_their_own(joined):
    predictions = "slide_id,seed,fold,prob_no,prob_yes\na1,0,2,0.2,0.8\na1,1,2,0.4,0.6\n"
    found = joined(predictions=predictions)
    assert found.rows.fold.tolist() == ["seed-0/fold-2", "seed-1/fold-2"]
    assert found.seeds == {"seed-0/fold-2": "0", "seed-1/fold-2": "1"}


def test_strangers_and_unlabelled_are_left_out_and_named(joined):
    predictions = PREDICTIONS + "z9,z,1,0.5,0.5\n"
    found = joined(predictions=predictions, cohort=COHORT.replace("c1,c,no", "c1,c,"))
    assert found.strangers == ("z9",)
    assert found.unlabelled == ("c",)
    assert found.rows.patient.tolist() == ["a", "b"]


def test_groups_are_the_cells_of_the_patients(joined):
    assert joined().groups("site").tolist() == ["x", "y", "missing"]
    with pytest.raises(InputError, match="--by place"):
        joined().groups("place")


def test_the_operating_threshold_is_the_folds_own(joined):
    rows = joined().rows
    assert calling(rows, {"0": 0.8, "1": 0.3}).predicted.tolist() == [0, 0, 1]
    assert calling(rows, {"*": 0.1}).predicted.tolist() == [1, 1, 1]


def test_labels_numbers_and_follow_ups(joined):
    labels = joined(Multilabel(("egfr",)), "slide_id,fold,prob_egfr\na1,0,0.9\nb1,0,0.2\n").rows
    assert labels.truth.tolist() == [[True], [False]]
    numbers = joined(Regression("score"), "slide_id,fold,value\na1,0,0.4\n").rows
    assert (numbers.truth.tolist(), numbers.value.tolist()) == ([0.5], [0.4])
    survival = Survival("days", event_coding(event="dead=1"))
    rows = joined(survival, "slide_id,fold,risk,surv_6\nb1,0,0.4,0.9\nc1,0,1,0.5\n").rows
    assert (rows.time.tolist(), rows.event.tolist()) == ([7, 9], [False, True])
    assert rows.horizons == (6.0,)


@pytest.mark.parametrize(
    ("error", "told", "edit"),
    [
        (DataError, "do not sum to 1", {"predictions": ("b1,b,0,0.8", "b1,b,0,0.9")}),
        (DataError, "slide a1 is twice in fold 0", {"predictions": ("a2,", "a1,")}),
        (DataError, r"line 4: prob_no is high", {"predictions": ("0.8,", "high,")}),
        (DataError, r"line 4: prob_no is inf", {"predictions": ("0.8,", "inf,")}),
        (DataError, "no column prob_", {"predictions": ("prob_", "p_")}),
        (InputError, "no column 'fold'", {"predictions": ("fold", "part")}),
        (DataError, "line 4: label 'perhaps' is no known label", {"cohort": ("b,no", "b,perhaps")}),
        (DataError, "patient a has another target", {"cohort": ("a2,a,yes", "a2,a,no")}),
        (InputError, "no column 'label'", {"cohort": ("label", "grade")}),
    ],
)
def test_bad_tables_are_refused(joined, error, told, edit):
    tables = {"predictions": PREDICTIONS, "cohort": COHORT}
    changed = {name: tables[name].replace(old, new) for name, (old, new) in edit.items()}
    with pytest.raises(error, match=told):
        joined(**changed)


def test_predictions_of_another_cohort_are_refused(joined):
    with pytest.raises(DataError, match=r"none of its slides is in cohort.csv"):
        joined(predictions="slide_id,fold,prob_no,prob_yes\nz1,0,0.5,0.5\n")


def test_other_folds_say_how_a_fold_is_censored(joined):
    survival = Survival("days", event_coding(event="dead=1"))
    predictions = "slide_id,fold,risk\na1,0,1\nb1,1,2\nc1,2,3\n"
    references = of_other_folds(joined(survival, predictions).rows)
    assert {name: each.tau for name, each in references.items()} == {"0": 9, "1": 9, "2": 5}
    assert references["0"].censoring_times == (7.0,)


def checkpoint(folder, reference):
    folder.mkdir(parents=True)
    record = {"reference": reference.as_json(), "task": {"kind": "survival-cox"}}
    (folder / "model.json").write_text(json.dumps(record))


def test_references_are_read_from_the_checkpoints_of_a_run(tmp_path):
    for fold in range(2):
        checkpoint(tmp_path / f"fold-{fold}", Reference(tau=fold, threshold=0.5 + fold))
    run = read_references(tmp_path)
    assert {name: each.tau for name, each in run.folds.items()} == {"0": 0, "1": 1}
    assert run.thresholds == {"0": 0.5, "1": 1.5}
    assert run.tasks == {"survival-cox"}
    assert list(read_references(tmp_path / "fold-1").folds) == ["*"]


def test_seeds_of_a_run_are_named_as_their_folders(tmp_path):
    checkpoint(tmp_path / "seed-1" / "fold-0", Reference())
    assert list(read_references(tmp_path).folds) == ["seed-1/fold-0"]


def test_a_folder_without_checkpoints_is_no_run(tmp_path):
    with pytest.raises(DataError, match=r"no model.json there"):
        read_references(tmp_path)
