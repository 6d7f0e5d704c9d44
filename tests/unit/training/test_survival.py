"""Cox through bags of one tile is Cox: lifelines on the same rows says the same."""

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index

from wsi_tools.checkpoint import Composition
from wsi_tools.cohort import Case, FollowUp
from wsi_tools.mil import Bag
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.reading import Reader
from wsi_tools.tasks import CoxSurvival, DiscreteSurvival
from wsi_tools.training.loop import Learning, Part, fit
from wsi_tools.training.recipe import Recipe
from wsi_tools.training.targets import targets_of

TABLES = {  # file: time, event, value of an event
    "rossi.csv": ("week", "arrest", 1),
    "lung.csv": ("time", "status", 1),
    "gbsg2.csv": ("time", "cens", 1),
}


@pytest.fixture(params=TABLES)
def rows(request, test_data):
    """(standardised columns, times, events) of a public data set, whole rows alone."""
    time, event, value = TABLES[request.param]
    frame = pd.read_csv(test_data / "survival" / request.param)
    frame = frame.drop(
        columns=[name for name in ("Unnamed: 0", "rownames", "inst") if name in frame]
    )
    frame = pd.get_dummies(frame.dropna(), drop_first=True).astype(float)
    columns = frame.drop(columns=[time, event])
    standard = (columns - columns.mean()) / columns.std()
    return standard, frame[time].to_numpy(), (frame[event] == value).to_numpy()


def risks(rows, task, **recipe):
    """Train the mean of one tile on all rows; the risk of each."""
    columns, times, events = rows
    tiles = torch.tensor(columns.to_numpy(), dtype=torch.float32)
    cases = tuple(
        Case(str(k), str(k), (str(k),), FollowUp(float(time), bool(event)))
        for k, (time, event) in enumerate(zip(times, events, strict=True))
    )
    torch.manual_seed(0)
    model = Composition("mean").build(tiles.shape[1], task.width)
    plan = Recipe(weight_decay=0, patience=0, **recipe)
    learning = Learning(model, task, plan, Computing("cpu"), (0, 0, 0))
    with Reader(lambda case: Bag.of_slide(tiles[int(case.case_id)][None]), 1) as reader:
        part = Part(cases, targets_of(cases), reader, (1,) * len(cases))
        fit(learning, part, None, keep=lambda _: None, report=lambda *_: None)
        return np.array([task.read(each)["risk"] for each in learning.logits(part)]), model


@pytest.mark.slow
def test_cox_on_bags_of_one_tile_is_lifelines_cox(rows):
    columns, times, events = rows
    table = columns.assign(time_=times, event_=events)
    known = CoxPHFitter().fit(table, "time_", "event_")
    risk, model = risks(
        rows, CoxSurvival.of_training(times, events), epochs=60, lr=0.1, accumulate=len(times)
    )
    ours = concordance_index(times, -risk, events)
    assert ours == pytest.approx(known.concordance_index_, abs=0.002)
    weights = model.classifier.weight.detach().numpy()[0]
    assert weights == pytest.approx(known.params_.to_numpy(), abs=0.05)


@pytest.mark.slow
def test_discrete_time_comes_close_to_it(rows):
    columns, times, events = rows
    table = columns.assign(time_=times, event_=events)
    known = CoxPHFitter().fit(table, "time_", "event_").concordance_index_
    risk, _ = risks(
        rows, DiscreteSurvival.of_training(times, events), epochs=8, lr=0.05, accumulate=32
    )
    assert concordance_index(times, -risk, events) == pytest.approx(known, abs=0.04)
