"""Blindness, resuming, and what a run folder promises."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.errors import DataError, InputError, InterruptedRunError
from wsi_tools.splits import Plan, held_out
from wsi_tools.training import Goal, Inputs, RunFolder, train, trained_folders
from wsi_tools.training.fold import train_fold
from wsi_tools.training.work import TrainingWork

WEIGHTS = "model.safetensors"


def weights_after(experiment, folder, quiet):
    """The bytes of the first fold's weights."""
    key = experiment.keys[0]
    train_fold(experiment.design, experiment.fold(key), key.seed, folder, quiet)
    return (folder / WEIGHTS).read_bytes()


def with_flipped(experiment, slides):
    """The same experiment, in which these slides have the other class."""
    cohort = experiment.cohort
    flipped = tuple(
        replace(slide, value=1 - slide.value) if slide.slide_id in slides else slide
        for slide in cohort.slides
    )
    return replace(experiment, cohort=replace(cohort, slides=flipped))


@pytest.fixture
def copied(made, tmp_path):
    """A project that a test may spoil."""
    project = tmp_path / "proj"
    shutil.copytree(made[1], project)
    return project


def test_training_is_blind_to_the_test_fold(experiment, copied, tmp_path, quiet):
    planned = experiment(project=copied)
    before = weights_after(planned, tmp_path / "before", quiet)

    tested = held_out(planned.splits, planned.cohort, 0)
    one, two = (copied / f"{case.case_id}.zarr" for case in tested[:2])
    for source, place in ((one, "a"), (two, one.name), (copied / "a", two.name)):
        source.rename(copied / place)
    flipped = with_flipped(planned, {case.case_id for case in tested})
    assert flipped.cohort != planned.cohort
    assert weights_after(flipped, tmp_path / "after", quiet) == before


def test_training_needs_no_store_of_a_test_case(experiment, copied, tmp_path, quiet):
    planned = experiment(project=copied)
    before = weights_after(planned, tmp_path / "before", quiet)
    for case in held_out(planned.splits, planned.cohort, 0):
        shutil.rmtree(copied / f"{case.case_id}.zarr")
    assert weights_after(planned, tmp_path / "after", quiet) == before


def test_a_training_label_matters(experiment, tmp_path, quiet):
    planned = experiment()
    case = planned.fold(planned.keys[0]).train[0]
    flipped = with_flipped(planned, {case.case_id})
    before = weights_after(planned, tmp_path / "before", quiet)
    assert weights_after(flipped, tmp_path / "after", quiet) != before


class Interrupting:
    """A report that stops the training when an epoch has ended so often."""

    def __init__(self, after):
        self.left = after

    def __call__(self, stage, done, total):
        self.left -= stage == "epochs"
        if self.left == 0:
            raise InterruptedRunError("stopped")


@pytest.mark.parametrize(
    ("model", "parts", "recipe"),
    [
        ("abmil", {}, {"schedule": "plateau", "plateau_patience": 0}),
        ("abmil", {"stabilize": "asmil"}, {"max_bag": 8, "warmup": 2}),
        ("dtfd", {}, {"optimizer": "sgd", "accumulate": 3}),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    experiment, tmp_path, quiet, model, parts, recipe
):
    planned = experiment(model=model, parts=parts, epochs=5, **recipe)
    whole = weights_after(planned, tmp_path / "whole", quiet)
    for stop in (3, 2):  # in the third epoch, then again two later
        with pytest.raises(InterruptedRunError):
            weights_after(planned, tmp_path / "parts", Interrupting(stop))
    assert weights_after(planned, tmp_path / "parts", quiet) == whole
    histories = [(tmp_path / name / "history.csv").read_text() for name in ("whole", "parts")]
    assert histories[0] == histories[1]


def test_a_torn_state_is_named_and_not_trusted(experiment, tmp_path, quiet):
    planned = experiment(epochs=3)
    with pytest.raises(InterruptedRunError):
        weights_after(planned, tmp_path, Interrupting(2))
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"state\.safetensors: cannot be continued from"):
        weights_after(planned, tmp_path, quiet)


def test_a_run_is_summarised_when_its_last_fold_is_there(experiment, tmp_path, quiet):
    planned = experiment(plan=Plan(folds=2, val=0.2))
    run = RunFolder.of(tmp_path / "run", planned)
    run.claim(planned, planned.keys)
    work = TrainingWork(planned, run)
    first, last = planned.keys
    work(last, quiet)
    assert run.summary() is None
    work(first, quiet)
    again = train(planned, tmp_path / "run")
    assert set(again.summary()["metrics"]) >= {"auroc", "balanced_accuracy", "brier"}
    with (tmp_path / "run" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["slide_id"] for row in rows) == sorted(
        slide.slide_id for slide in planned.cohort.slides
    )
    assert {row["fold"] for row in rows} == {"0", "1"}


def test_the_order_of_the_folds_changes_no_byte(experiment, tmp_path, quiet):
    planned = experiment(plan=Plan(folds=2, val=0.2))
    found = []
    for keys in (planned.keys, planned.keys[::-1]):
        run = RunFolder.of(tmp_path / str(len(found)), planned)
        run.claim(planned, keys)
        for key in keys:
            TrainingWork(planned, run)(key, quiet)
        found.append([(run.fold(key) / WEIGHTS).read_bytes() for key in planned.keys])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_seeds_have_folders_and_columns_of_their_own(experiment, tmp_path):
    planned = experiment(plan=Plan(folds=2, val=0.2), seeds=(3, 4), epochs=1)
    run = train(planned, tmp_path / "run")
    assert (run.path / "seed-3" / "fold-1" / WEIGHTS).is_file()
    assert len(trained_folders(run.path)) == 4
    header = (run.path / "predictions.csv").read_text().splitlines()[0]
    assert header == "slide_id,patient_id,fold,seed,prob_low,prob_high"
    assert "sd_over_seeds" in run.summary()["metrics"]["auroc"]


def test_a_patients_prediction_stands_with_each_slide(experiment, tmp_path):
    planned = experiment(inputs=Inputs(level="patient"), plan=Plan(folds=2, val=0.2), epochs=1)
    run = train(planned, tmp_path / "run")
    with (run.path / "predictions.csv").open(newline="") as stream:
        of = {row["slide_id"]: row for row in csv.DictReader(stream)}
    assert of["P000-1"]["prob_high"] == of["P000-2"]["prob_high"]
    assert len(of) == len(planned.cohort.slides)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 3}, "recipe.epochs: 3 asked, 2 there"),
        ({"model": "gated-abmil"}, 'composition.name: "gated-abmil" asked, "abmil" there'),
        ({"seeds": (1,)}, "seeds"),
        ({"plan": Plan(folds=4, val=0.2, seed=1)}, "splits"),
    ],
)
def test_another_request_for_a_run_is_refused_by_name(experiment, tmp_path, change, named):
    planned, other = experiment(), experiment(**change)
    RunFolder.of(tmp_path, planned).claim(planned, planned.keys)
    RunFolder.of(tmp_path, planned).claim(planned, planned.keys)  # the same may go on
    with pytest.raises(DataError, match=named):
        RunFolder.of(tmp_path, other).claim(other, other.keys)
    RunFolder.of(tmp_path, other).claim(other, other.keys, overwrite=True)
    with pytest.raises(DataError, match=named.split(":")[0]):
        RunFolder.of(tmp_path, planned).claim(planned, planned.keys)


def test_a_changed_label_makes_another_run(experiment, tmp_path):
    planned = experiment()
    RunFolder.of(tmp_path, planned).claim(planned, planned.keys)
    other = with_flipped(planned, {"P000-1"})
    with pytest.raises(DataError, match="cohort"):
        RunFolder.of(tmp_path, other).claim(other, other.keys)


def test_there_must_be_something_to_resume(experiment, tmp_path):
    planned = experiment()
    with pytest.raises(DataError, match="nothing to resume"):
        RunFolder.of(tmp_path / "none", planned).claim(planned, planned.keys, resume=True)


def test_without_validation_the_number_of_epochs_is_fixed(experiment, tmp_path, quiet):
    planned = experiment(plan=Plan(folds=2, val=0), epochs=2)
    with pytest.raises(InputError, match="add --patience 0"):
        weights_after(planned, tmp_path / "a", quiet)
    planned = experiment(plan=Plan(folds=2, val=0), epochs=2, patience=0)
    weights_after(planned, tmp_path / "b", quiet)
    found = Checkpoint.load(tmp_path / "b")
    assert (found.origin.epoch, found.origin.epochs, found.origin.val_loss) == (1, 2, None)
    assert found.reference.threshold is None


def test_scalers_know_the_training_fold_alone(experiment, tmp_path, quiet):
    planned = experiment(inputs=Inputs(covariates=("age",)), epochs=1)
    weights_after(planned, tmp_path, quiet)
    found = Checkpoint.load(tmp_path)
    ages = [float(case.cells["age"]) for case in planned.fold(planned.keys[0]).train]
    (column,) = found.reads.scalers[0].columns
    assert (column.mean, column.std) == pytest.approx((np.mean(ages), np.std(ages)))
    assert found.reads.width == 17  # 16 values of a tile, and the age


def test_a_fold_whose_validation_says_nothing_of_survival_is_refused(experiment, tmp_path, quiet):
    planned = experiment("survival", goal=Goal(loss="cox"))
    key = planned.keys[0]
    fold = planned.fold(key)
    alone = replace(fold, val=fold.val[:1])
    with pytest.raises(DataError, match="fold 0: its validation cases say nothing"):
        train_fold(planned.design, alone, key.seed, tmp_path, quiet)


def test_the_request_that_is_kept_can_be_read(experiment, tmp_path):
    planned = experiment()
    RunFolder.of(tmp_path, planned).claim(planned, planned.keys, toml="[train]")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["request"]["features"]["set"] == "mpp0.5-px256-ov0/synthetic"
    assert record["request"]["recipe"]["epochs"] == 2
    assert (tmp_path / "run.toml").read_text() == "[train]"
