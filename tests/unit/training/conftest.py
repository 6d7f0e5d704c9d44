"""A small synthetic cohort with a planted signal, and experiments on it."""

import importlib.util
from pathlib import Path

import pytest
import torch

from wsi_tools.checkpoint import Composition
from wsi_tools.cohort import Classification, Multilabel, Regression, Survival, read_cohort
from wsi_tools.cohort.events import EventCoding
from wsi_tools.splits import Plan, make_splits
from wsi_tools.training import Compute, Design, Experiment, Goal, Inputs, Recipe

MAKER = Path(__file__).parents[3] / "sample_data" / "make_cohort.py"
TARGETS = {
    "classification": Classification("grade", ("low", "high")),
    "multilabel": Multilabel(("invasive", "died")),
    "regression": Regression("burden"),
    "survival": Survival("os_months", EventCoding("died")),
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Two threads on bags this small wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_cohort():
    specification = importlib.util.spec_from_file_location("make_cohort", MAKER)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.make_cohort


@pytest.fixture(scope="session")
def made(make_cohort, tmp_path_factory):
    """(table, project) of 16 patients."""
    return make_cohort(tmp_path_factory.mktemp("cohort"), patients=16)


@pytest.fixture(scope="session")
def made_of_markers(make_cohort, tmp_path_factory):
    """(table, project) of 16 patients whose tiles have 3 markers."""
    return make_cohort(tmp_path_factory.mktemp("markers"), patients=16, markers=3)


@pytest.fixture
def experiment(made):
    """Make an experiment on the cohort; keywords are those of its parts."""

    def make(
        task="classification",
        model="abmil",
        *,
        table=None,
        project=None,
        goal=None,
        inputs=None,
        plan=None,
        seeds=(0,),
        compute=None,
        parts=None,
        settings=None,
        **recipe,
    ):
        cohort = read_cohort(table or made[0], target=TARGETS[task])
        options = {"epochs": 2, "precision": "fp32", **recipe}
        design = Design(
            project or made[1],
            cohort.target,
            Composition(model, **(parts or {}), settings=settings or {}),
            goal or Goal(),
            inputs or Inputs(),
            Recipe(**options),
            compute or Compute("cpu", cache_gb=0.5),
        )
        splits = make_splits(cohort, plan or Plan(folds=4, val=0.2))
        return Experiment(design, cohort, splits, seeds)

    return make


@pytest.fixture
def quiet():
    """A report that nobody hears."""
    return lambda stage, done, total: None
