"""What a checkpoint keeps, what it refuses, and what a full disk leaves."""

import json
import pickletools
from dataclasses import replace

import pytest
import torch

from wsi_tools.checkpoint import JSON_NAME, WEIGHTS_NAME, Checkpoint, Composition, Origin, Reads
from wsi_tools.cohort import Scaler
from wsi_tools.cohort.clinical import Categories, Numbers
from wsi_tools.errors import DataError
from wsi_tools.metrics import Reference
from wsi_tools.mil import Bag
from wsi_tools.tasks import Classification, CoxSurvival, DiscreteSurvival, Multilabel, Regression

TASKS = [
    Classification(("low", "high"), balance="loss", weights=(0.75, 1.5)),
    Multilabel(("a", "b"), (0.5, 2.0)),
    Regression(3.25, 0.1),
    DiscreteSurvival((1.5, 7.0, 1 / 3 + 9)),
    CoxSurvival((2.0, 4.0), (1.0, 3.0), (-2.5, -1.1)),
]
SCALER = Scaler("person", (Numbers("age", 61.3, 9.7), Categories("site", ("x", "y"))))
IDENTITY = {"tiles": {"mpp": 0.5}, "encoder": {"backbone": "uni"}, "values": [6]}


def checkpoint(task=TASKS[0], **reads):
    composition = Composition("gated-abmil", stabilize="asmil", settings={"hidden_dim": 8})
    read = Reads("slide", "g/uni", 0.1, IDENTITY, **reads)
    torch.manual_seed(3)
    model = composition.build(read.width, task.width, read.tables)
    origin = Origin(("grade",), 0, 2, 7, 4, 9, 0.25, {"lr": 1e-4})
    return Checkpoint(composition, task, read, origin, model.state_dict(), Reference(threshold=0.4))


@pytest.fixture
def saved(tmp_path):
    checkpoint().save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_checkpoint_comes_back_whole(tmp_path, task):
    before = checkpoint(task, scalers=(SCALER,), covariates=True)
    before.save(tmp_path)
    after = Checkpoint.load(tmp_path)
    assert replace(after, weights={}) == replace(before, weights={})
    assert after.weights.keys() == before.weights.keys()
    assert all(torch.equal(after.weights[name], before.weights[name]) for name in after.weights)


def test_the_model_answers_as_before(saved):
    bag = Bag.of_slide(torch.randn(5, 6))
    loaded = Checkpoint.load(saved).model()
    assert not loaded.training
    assert torch.equal(loaded(bag).logits, checkpoint().model()(bag).logits)


def test_covariates_widen_a_tile_and_a_record_does_not():
    assert checkpoint(scalers=(SCALER,), covariates=True).reads.width == 9
    record = Reads("slide", "g/uni", 0.1, IDENTITY, scalers=(SCALER,))
    assert (record.width, record.tables) == (6, (3,))
    assert record.columns == ("age", "site")


def test_equal_models_are_equal_bytes(tmp_path):
    for name in ("one", "two"):
        checkpoint().save(tmp_path / name)
    for file in (WEIGHTS_NAME, JSON_NAME):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_nothing_is_pickled(saved):
    for file in saved.iterdir():
        with pytest.raises(ValueError, match=r".+"):
            list(pickletools.genops(file.read_bytes()))


@pytest.mark.parametrize(
    "edit",
    [
        lambda record: record["task"]["classes"].reverse(),
        lambda record: record["reads"]["identity"]["encoder"].update(backbone="conch"),
        lambda record: record["reference"].update(threshold=0.01),
        lambda record: record.update(more=1),
    ],
)
def test_an_edited_description_is_refused(saved, edit):
    path = saved / JSON_NAME
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"model\.json: was edited after training; take the orig"):
        Checkpoint.load(saved)


def test_weights_of_another_training_are_refused(saved, tmp_path):
    other = checkpoint()
    changed = {name: value + 1 for name, value in other.weights.items()}
    replace(other, weights=changed).save(tmp_path / "other")
    (tmp_path / "other" / WEIGHTS_NAME).replace(saved / WEIGHTS_NAME)
    with pytest.raises(DataError, match=r"model\.safetensors: not the weights that model\.json"):
        Checkpoint.load(saved)


@pytest.mark.parametrize("name", [JSON_NAME, WEIGHTS_NAME])
def test_a_torn_file_is_refused_in_one_line(saved, name):
    path = saved / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError) as raised:
        Checkpoint.load(saved)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [JSON_NAME, WEIGHTS_NAME])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(DataError, match=f"{name}: No such file"):
        Checkpoint.load(saved)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_leaves_the_last_good_checkpoint(saved, monkeypatch, failing):
    good = Checkpoint.load(saved)
    written = []

    def until_full(descriptor):
        written.append(descriptor)
        if len(written) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", until_full)
    changed = {name: value + 1 for name, value in good.weights.items()}
    with pytest.raises(OSError, match="No space left"):
        replace(good, weights=changed).save(saved)
    monkeypatch.undo()
    after = Checkpoint.load(saved)
    assert all(torch.equal(after.weights[name], good.weights[name]) for name in good.weights)
    assert sorted(path.name for path in saved.iterdir()) == [JSON_NAME, WEIGHTS_NAME]
