"""Every model on every task that its card allows, and every part around one, learns an epoch."""

import math

import pytest
import torch

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.cohort import ClinicalTable
from wsi_tools.errors import InputError
from wsi_tools.mil import CARDS, ENCODERS, FUSIONS, STABILIZERS
from wsi_tools.splits import Plan
from wsi_tools.training import RECIPES, Goal, Inputs
from wsi_tools.training.fold import train_fold

PAIRS = [(name, task) for name, card in CARDS.items() for task in card.tasks]
SMALL = {  # what keeps the larger models quick
    "asmil": {"dim": 32, "heads": 4},
    "transmil": {"dim": 32, "landmarks": 8},
    "roformer": {"dim": 32, "heads": 4},
    "persam": {"dim": 32, "heads": 4, "ffn_dim": 32},
}
RECORD = Inputs(tables=(ClinicalTable("person", ("age", "site")),))
TWO_FOLDS = Plan(folds=2, val=0.25)


def learnt(experiment, folder, quiet):
    """Train the first fold; its checkpoint, as it is read back."""
    key = experiment.keys[0]
    train_fold(experiment.design, experiment.fold(key), key.seed, folder, quiet)
    return Checkpoint.load(folder)


def assert_learnt(checkpoint, experiment):
    torch.manual_seed(0)
    fresh = checkpoint.composition.build(
        checkpoint.reads.width, checkpoint.task.width, checkpoint.reads.tables
    )
    parameters = dict(fresh.named_parameters())
    moved = [
        not torch.equal(checkpoint.weights[name], parameters[name])
        for name in parameters
        if parameters[name].requires_grad
    ]
    assert sum(moved) > len(moved) / 2
    assert math.isfinite(checkpoint.origin.val_loss)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_every_model_learns_every_task_of_its_card(
    experiment, made, made_of_markers, tmp_path, quiet, name, task
):
    table, project = made_of_markers if "markers" in CARDS[name].needs else made
    planned = experiment(
        task,
        name,
        table=table,
        project=project,
        inputs=RECORD if "clinical" in CARDS[name].needs else Inputs(),
        settings=SMALL.get(name),
        plan=TWO_FOLDS,
        epochs=1,
    )
    assert_learnt(learnt(planned, tmp_path, quiet), planned)


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if not card.needs])
def test_every_model_learns_in_bfloat16(experiment, tmp_path, quiet, name):
    planned = experiment(
        model=name, settings=SMALL.get(name), plan=TWO_FOLDS, epochs=1, precision="bf16"
    )
    assert_learnt(learnt(planned, tmp_path, quiet), planned)


@pytest.mark.parametrize("loss", ["nll", "cox"])
def test_both_losses_of_survival_learn(experiment, tmp_path, quiet, loss):
    planned = experiment("survival", goal=Goal(loss=loss), plan=TWO_FOLDS, epochs=1)
    checkpoint = learnt(planned, tmp_path, quiet)
    assert checkpoint.task.kind == f"survival-{loss}"
    assert checkpoint.reference.cut is not None


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("model", ["gated-abmil", "transmil"])
def test_every_fusion_learns_before_a_model(
    experiment, made_of_markers, tmp_path, quiet, fusion, model
):
    table, project = made_of_markers
    counted = {"channel_fusion.markers": 3} if fusion == "concat" else {}
    planned = experiment(
        model=model,
        table=table,
        project=project,
        parts={"channel_fusion": fusion},
        settings={**SMALL.get(model, {}), **counted},
        plan=TWO_FOLDS,
        epochs=1,
    )
    assert_learnt(learnt(planned, tmp_path, quiet), planned)


@pytest.mark.parametrize("stabilizer", [None, *STABILIZERS])
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("model", ["abmil", "clam-mb", "dsmil"])
def test_every_encoder_and_stabiliser_learns_around_a_model(
    experiment, tmp_path, quiet, encoder, stabilizer, model
):
    planned = experiment(
        model=model,
        parts={"encoder": encoder, "stabilize": stabilizer},
        settings={"encoder.dim": 32, "encoder.heads": 4},
        plan=TWO_FOLDS,
        epochs=1,
    )
    assert_learnt(learnt(planned, tmp_path, quiet), planned)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_its_own_model(
    experiment, made, made_of_markers, tmp_path, quiet, name
):
    paper = RECIPES[name]
    table, project = made_of_markers if name == "fluoroformer" else made
    recipe = {**vars(paper.recipe), "epochs": 1}
    planned = experiment(
        "survival" if name == "fluoroformer" else "classification",
        paper.model,
        table=table,
        project=project,
        goal=Goal(**paper.goal),
        inputs=RECORD if name == "persam" else Inputs(),
        settings=SMALL.get(paper.model),
        plan=Plan(folds=2, val=0.3),
        **recipe,
    )
    checkpoint = learnt(planned, tmp_path, quiet)
    assert checkpoint.origin.training["optimizer"] == paper.recipe.optimizer
    assert checkpoint.reads.bag_tiles == paper.recipe.bag_tiles


@pytest.mark.parametrize("balance", ["loss", "sampler"])
def test_balancing_leaves_the_prior_shift_in_the_checkpoint(experiment, tmp_path, quiet, balance):
    planned = experiment(goal=Goal(balance=balance), plan=TWO_FOLDS, epochs=1)
    task = learnt(planned, tmp_path, quiet).task
    assert task.balance == balance
    assert len(task.weights) == 2


def test_persam_weighs_classes_by_its_training_cases(experiment, tmp_path, quiet):
    planned = experiment(
        model="persam", inputs=RECORD, settings=SMALL["persam"], plan=TWO_FOLDS, epochs=1
    )
    counts = learnt(planned, tmp_path, quiet).composition.settings["class_counts"]
    train = planned.fold(planned.keys[0]).train
    assert list(counts) == [sum(case.value == each for case in train) for each in (0, 1)]


def test_a_model_that_makes_no_sense_for_the_task_is_refused(experiment):
    with pytest.raises(InputError, match="clam-sb: makes sense for classification, not for surv"):
        experiment("survival", "clam-sb")


def test_features_with_markers_need_a_fusion(experiment, made_of_markers, tmp_path, quiet):
    table, project = made_of_markers
    planned = experiment(table=table, project=project, plan=TWO_FOLDS)
    with pytest.raises(InputError, match="3 markers each; add --channel-fusion"):
        learnt(planned, tmp_path, quiet)


def test_a_fusion_needs_features_with_markers(experiment, tmp_path, quiet):
    planned = experiment(parts={"channel_fusion": "mean"}, plan=TWO_FOLDS)
    with pytest.raises(InputError, match="these have none"):
        learnt(planned, tmp_path, quiet)
