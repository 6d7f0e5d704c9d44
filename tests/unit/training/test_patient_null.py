"""Labels that mean nothing stay unpredictable, however alike the slides of a patient are."""

import numpy as np
import pytest
from made_stores import write_store

from wsi_tools.checkpoint import Composition
from wsi_tools.cohort import Classification, Cohort
from wsi_tools.cohort.patients import SlideRow
from wsi_tools.splits import Plan, make_splits
from wsi_tools.store import Project
from wsi_tools.training import Compute, Design, Experiment, Recipe, train

PATIENTS, SLIDES, TILES, WIDTH = 30, 4, 4, 16
LABEL = Classification("label", ("no", "yes"))
RECIPE = Recipe(epochs=10, lr=5e-3, precision="fp32")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Every patient has a look of their own; their slides differ by a hundredth of it."""
    rng = np.random.default_rng(0)
    found = Project(tmp_path_factory.mktemp("null") / "proj")
    index = np.stack((np.zeros(TILES), np.arange(TILES)), axis=1).astype(np.int32)
    for patient in range(PATIENTS):
        look = rng.standard_normal((TILES, WIDTH))
        for slide in range(SLIDES):
            noise = 0.01 * rng.standard_normal((TILES, WIDTH))
            write_store(found, f"P{patient}-{slide}", index, (look + noise).astype(np.float16))
    return found.path


def cohort_of(draw, *, grouped):
    """A coin for every patient; not grouped, every slide pretends to be a patient."""
    labels = np.random.default_rng(draw).permutation(PATIENTS) % 2
    rows = []
    for patient, label in enumerate(labels.tolist()):
        cells = {LABEL.label: LABEL.classes[label]}
        for slide in range(SLIDES):
            name = f"P{patient}-{slide}"
            owner = f"P{patient}" if grouped else name
            rows.append(SlideRow(name, owner, cells=cells, value=label))
    return Cohort(tuple(rows), LABEL)


def pooled_auroc(cohort, project, out):
    """The pooled AUROC of test patients over five folds."""
    model = Composition("abmil", settings={"hidden_dim": 32, "attention_dim": 16})
    design = Design(project, LABEL, model, recipe=RECIPE, compute=Compute("cpu", cache_gb=0.1))
    experiment = Experiment(design, cohort, make_splits(cohort, Plan(folds=5)))
    return train(experiment, out).summary()["metrics"]["auroc"]["pooled"]


@pytest.mark.slow
def test_random_labels_of_patients_cannot_be_predicted(project, tmp_path):
    found = [
        pooled_auroc(cohort_of(draw, grouped=True), project, tmp_path / str(draw))
        for draw in range(5)
    ]
    assert 0.35 <= np.mean(found) <= 0.65  # three standard errors of thirty patients, five times


@pytest.mark.slow
def test_a_split_by_slides_would_predict_them(project, tmp_path):
    assert pooled_auroc(cohort_of(0, grouped=False), project, tmp_path) > 0.8
