"""The curves that TensorBoard draws are the numbers of the history."""

import csv

import numpy as np
import pytest

from wsi_tools.training import Compute
from wsi_tools.training.fold import train_fold

events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_the_event_file_holds_the_numbers_of_the_history(experiment, tmp_path, quiet):
    planned = experiment(epochs=3, compute=Compute("cpu", tensorboard=True))
    key = planned.keys[0]
    train_fold(planned.design, planned.fold(key), key.seed, tmp_path, quiet)
    drawn = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    with (tmp_path / "history.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert set(drawn.Tags()["scalars"]) == {"lr", "train_loss", "val_loss", "monitored"}
    for name in drawn.Tags()["scalars"]:
        curve = [(each.step, each.value) for each in drawn.Scalars(name)]
        assert curve == [(number, np.float32(row[name])) for number, row in enumerate(rows)]
