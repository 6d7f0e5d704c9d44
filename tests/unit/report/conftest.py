"""One quick run of each kind of target, on a small synthetic cohort."""

import pytest
import torch
from make_cohort import make_cohort

from wsi_tools.checkpoint import Composition
from wsi_tools.cohort import Classification, Multilabel, Regression, Survival, read_cohort
from wsi_tools.cohort.events import EventCoding
from wsi_tools.report import read_run
from wsi_tools.splits import Plan, make_splits
from wsi_tools.training import Compute, Design, Experiment, Goal, Recipe, train

TARGETS = {
    "classification": (Classification("grade", ("low", "high")), Goal()),
    "multilabel": (Multilabel(("invasive", "died")), Goal()),
    "regression": (Regression("burden"), Goal()),
    "nll": (Survival("os_months", EventCoding("died")), Goal("nll", bins=3)),
    "cox": (Survival("os_months", EventCoding("died")), Goal("cox")),
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Two threads on bags this small wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(table, project) of 24 patients."""
    return make_cohort(tmp_path_factory.mktemp("cohort"), patients=24)


@pytest.fixture(scope="session")
def trained(made, tmp_path_factory):
    """Train two folds; give the run's folder."""

    def run(kind, table=made[0], target=None):
        found, goal = TARGETS[kind]
        cohort = read_cohort(table, target=target or found)
        recipe = Recipe(epochs=3, lr=1e-2, precision="fp32", accumulate=16)
        means = Compute("cpu", cache_gb=0.5)
        composition = Composition("abmil")
        design = Design(made[1], cohort.target, composition, goal, recipe=recipe, compute=means)
        splits = make_splits(cohort, Plan(folds=2, val=0.25))
        folder = tmp_path_factory.mktemp(kind) / "run"
        return train(Experiment(design, cohort, splits), folder).path

    return run


@pytest.fixture(scope="session")
def run_of(trained):
    """The record of the run of a kind of target, trained once."""
    known = {}

    def read(kind):
        if kind not in known:
            known[kind] = read_run(trained(kind))
        return known[kind]

    return read
