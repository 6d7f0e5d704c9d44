"""What a run's folder says, and what its cohort's table adds."""

import shutil

import pytest

from wsi_tools.errors import DataError
from wsi_tools.metrics import ClassRows
from wsi_tools.report import read_run, read_truth


def test_a_record_holds_every_training_with_its_epochs_and_digests(run_of):
    run = run_of("classification")
    assert [each.name for each in run.trainings] == ["0", "1"]
    assert [len(each.epochs) for each in run.trainings] == [3, 3]
    first = run.training("0")
    assert first.epochs[0].val_loss is not None
    assert first.parameters == sum(each.numel() for each in first.checkpoint.model().parameters())
    assert len(run.digest) == len(first.digests["weights"]) == 64


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no model"):
        read_run(tmp_path)


def test_a_run_without_its_summary_is_refused(run_of, tmp_path):
    copy = shutil.copytree(run_of("classification").path, tmp_path / "run")
    (copy / "summary.json").unlink()
    with pytest.raises(DataError, match="folds have all ended"):
        read_run(copy)


def test_weights_that_are_not_the_models_are_refused(run_of, tmp_path):
    copy = shutil.copytree(run_of("classification").path, tmp_path / "run")
    shutil.copy(copy / "fold-1" / "model.safetensors", copy / "fold-0")
    with pytest.raises(DataError, match="not the weights"):
        read_run(copy)


def test_every_test_patient_meets_the_truth(run_of, made):
    truth = read_truth(run_of("classification"), made[0])
    rows = truth.joined.rows
    assert isinstance(rows, ClassRows)
    assert sorted(rows.patient) == [f"P{number:03d}" for number in range(24)]
    assert rows.truth.tolist() == [int(name[1:]) % 2 for name in rows.patient]
    assert not truth.changed


def test_a_table_that_was_changed_since_is_told(run_of, made, tmp_path):
    lines = made[0].read_text().splitlines()
    (table := tmp_path / "cohort.csv").write_text(
        "\n".join([lines[0], *(line.replace("low", "high") for line in lines[1:3]), *lines[3:]])
    )
    assert read_truth(run_of("classification"), table).changed


def test_a_table_that_nobody_named_is_asked_for(run_of):
    with pytest.raises(DataError, match="--cohort"):
        read_truth(run_of("classification"))
