"""Classes and labels: hand-written losses, and balance that leaves probabilities alone."""

import math

import numpy as np
import pytest
import torch

from wsi_tools.errors import DataError, InputError
from wsi_tools.tasks import Classification, Multilabel

LUNG = ("luad", "lusc")
EVEN = torch.zeros(1, 2, dtype=torch.float64)


def test_cross_entropy_of_an_undecided_model_is_the_log_of_the_classes():
    loss = Classification(("a", "b", "c")).loss(torch.zeros(2, 3), torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(math.log(3))


def test_a_row_of_predictions_names_its_classes():
    row = Classification(LUNG).read(torch.tensor([0.0, math.log(3)]))
    assert row == pytest.approx({"prob_luad": 0.25, "prob_lusc": 0.75})


def test_weights_come_from_the_training_patients():
    task = Classification.of_training(LUNG, [0, 0, 0, 1], balance="loss")
    assert task.weights == (4 / 6, 2.0)


def test_class_weights_count_in_a_batch_of_one():
    task = Classification.of_training(LUNG, [0, 0, 0, 1], balance="loss")
    assert task.loss(EVEN, torch.tensor([1])).item() == pytest.approx(2 * math.log(2))


def test_a_balanced_sampler_leaves_the_loss_alone():
    task = Classification.of_training(LUNG, [0, 0, 0, 1], balance="sampler")
    assert task.loss(EVEN, torch.tensor([1])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("balance", ["loss", "sampler"])
def test_a_balanced_model_that_knows_nothing_reads_the_training_frequencies(balance):
    task = Classification.of_training(("a", "b", "c"), [0] * 6 + [1] * 3 + [2], balance=balance)
    row = task.read(torch.zeros(3))
    assert row == pytest.approx({"prob_a": 0.6, "prob_b": 0.3, "prob_c": 0.1})


def test_weighted_training_and_reading_arrive_at_the_frequencies():
    labels = torch.tensor([0] * 7 + [1] * 3)
    task = Classification.of_training(LUNG, labels.numpy(), balance="loss")
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        loss = task.loss(logits.expand(10, 2), labels)
        loss.backward()
        return loss

    optimizer.step(step)
    assert task.read(logits[0])["prob_lusc"] == pytest.approx(0.3, abs=1e-6)  # LBFGS stops there


def test_balance_needs_every_class_in_the_training_fold():
    with pytest.raises(DataError, match=r"'lusc'.*--balance none"):
        Classification.of_training(LUNG, [0, 0], balance="loss")


@pytest.mark.parametrize("classes", [("one",), ("a", "a")])
def test_classes_are_several_and_distinct(classes):
    with pytest.raises(InputError, match="at least 2"):
        Classification(classes)


def test_models_with_instance_losses_are_told_the_class():
    assert Classification(LUNG).hint(torch.tensor(1)).item() == 1


def test_labels_are_read_one_by_one():
    row = Multilabel(("egfr", "kras")).read(torch.tensor([0.0, math.log(3)]))
    assert row == pytest.approx({"prob_egfr": 0.5, "prob_kras": 0.75})


def test_binary_cross_entropy_is_the_mean_over_bags_and_labels():
    truth = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    logits = torch.full((2, 2), math.log(3))  # probability 3/4 everywhere
    expected = -(math.log(0.75) + 3 * math.log(0.25)) / 4
    assert Multilabel(("a", "b")).loss(logits, truth).item() == pytest.approx(expected)


def test_positive_weights_are_taken_off_when_read():
    truth = np.array([[1, 0], [0, 1], [0, 1], [0, 1]])
    task = Multilabel.of_training(("a", "b"), truth, balance="loss")
    assert task.weights == (3.0, 1 / 3)
    assert task.read(torch.zeros(2)) == pytest.approx({"prob_a": 0.25, "prob_b": 0.75})


def test_no_sampler_balances_several_labels():
    with pytest.raises(InputError, match="--balance loss"):
        Multilabel.of_training(("a",), [[1], [0]], balance="sampler")
