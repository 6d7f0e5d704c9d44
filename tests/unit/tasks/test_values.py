"""Numbers as a task, and every task through the checkpoint's JSON."""

import json

import numpy as np
import pytest
import torch

from wsi_tools.errors import DataError, InputError
from wsi_tools.tasks import (
    Classification,
    CoxSurvival,
    DiscreteSurvival,
    Multilabel,
    Regression,
    task_from_json,
    task_to_json,
)

TASKS = [
    Classification(("g1", "g2", "g3"), ordered=True),
    Classification.of_training(("a", "b"), [0, 1, 1], balance="sampler"),
    Multilabel(("egfr", "kras"), (2.5, 1.0)),
    Regression(1.5, 0.25),
    DiscreteSurvival((6.0, 14.0, 30.5), "end"),
    CoxSurvival((12.0,), (5.0, 9.0), (-2.0, -1.0)),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_checkpoint_gives_back_the_same_task(task):
    assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_row_has_the_promised_columns_in_order(task):
    assert tuple(task.read(torch.zeros(task.width))) == task.columns


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ({"edges": [3.0, 2.0]}, "increasing"),
        ({"edges": ["x"]}, "edges"),
        ({"kind": "guess"}, "guess"),
        ({"extra": 1}, "extra"),
    ],
)
def test_an_edited_checkpoint_is_refused(edit, named):
    values = task_to_json(DiscreteSurvival((1.0, 2.0))) | edit
    with pytest.raises((DataError, InputError), match=named):
        task_from_json(values)


def test_a_model_answers_in_standard_deviations_of_the_training_values():
    task = Regression.of_training([10.0, 20.0, 30.0])
    assert task.read(torch.tensor([1.0])) == pytest.approx({"value": 20 + np.sqrt(200 / 3)})
    assert task.loss(torch.zeros(1, 1), torch.tensor([20.0])).item() == 0
    assert task.loss(torch.zeros(3, 1), torch.tensor([10.0, 20.0, 30.0])).item() == pytest.approx(1)


def test_constant_training_values_are_refused():
    with pytest.raises(InputError, match="must vary"):
        Regression.of_training([4.0, 4.0])


def test_values_give_no_hint_to_models_with_auxiliary_losses():
    assert Regression().hint(torch.tensor(3.0)) is None
