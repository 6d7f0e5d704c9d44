"""Which models look at which slide, what several make of it, and attention among markers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.cohort import Cohort
from wsi_tools.cohort.patients import SlideRow
from wsi_tools.heatmap import RunModels, matrix_picture
from wsi_tools.mil import Bag
from wsi_tools.prediction import Computing
from wsi_tools.prediction.answers import answer
from wsi_tools.prediction.attention import row_names
from wsi_tools.tasks import DiscreteSurvival

CPU = Computing("cpu", "fp32")
MARKERS = ("DAPI", "CD8", "PanCK")
SPLITS = """fold,role,slide_id,patient_id
0,test,square,p1
0,train,other,p2
1,train,square,p1
1,val,other,p2
"""


@pytest.fixture
def run(teach, planted, tmp_path):
    """Two folds, of which the first was tested on ``square``; nothing was tested on ``other``."""
    for fold in range(2):
        teach("abmil", planted[0], steps=5).teach(tmp_path / "run", fold=fold)
    (tmp_path / "run" / "splits.csv").write_text(SPLITS)
    return tmp_path / "run"


@pytest.fixture
def project(planted, write_slide, write_store, tmp_path):
    """Three slides: one is unknown to the run."""
    for name in ("square", "other", "stranger"):
        write_store(tmp_path / "proj", name, write_slide(tmp_path / f"{name}.tiff", 1.0))
    return tmp_path / "proj"


def judges_of(place, project, cohort_of):
    models, cohort = RunModels.load(place, CPU), cohort_of(project)
    return {case.case_id: models.judges(case) for case in cohort.cases()}


def test_a_slide_is_seen_by_the_fold_that_was_tested_on_it(run, project, cohort_of):
    found = judges_of(run, project, cohort_of)
    assert str(found["square"]) == "fold-0, tested on this slide"
    assert str(found["stranger"]) == "mean of 2 models, new to this slide"
    assert str(found["other"]) == "mean of 2 models, learnt from this slide"


def test_another_slide_of_a_patient_is_seen_by_the_fold_tested_on_the_patient(run):
    models = RunModels.load(run, CPU)
    (case,) = Cohort((SlideRow("stranger", "p1"),)).cases()
    assert models.judges(case).models == ("fold-0",)
    (case,) = Cohort((SlideRow("stranger", "p2"),)).cases()
    assert models.judges(case).known == "learnt"


def test_one_fold_says_when_it_learnt_from_the_slide(run, project, cohort_of):
    found = judges_of(run / "fold-1", project, cohort_of)
    assert str(found["square"]) == "fold-1, learnt from this slide"
    assert str(judges_of(run / "fold-0", project, cohort_of)["square"]) == (
        "fold-0, tested on this slide"
    )


def test_an_unknown_slide_has_the_mean_of_all_models(run, project, cohort_of):
    cohort = cohort_of(project)
    case = next(case for case in cohort.cases() if case.case_id == "stranger")
    of = {}
    for place in (run, run / "fold-0", run / "fold-1"):
        models = RunModels.load(place, CPU)
        (of[place.name],) = models.scores(case, models.bags(project, cohort))
    both = (of["fold-0"].score() + of["fold-1"].score()) / 2
    np.testing.assert_allclose(of["run"].score(), both, rtol=1e-6)
    mean = (of["fold-0"].predicted["prob_dull"] + of["fold-1"].predicted["prob_dull"]) / 2
    assert of["run"].predicted["prob_dull"] == pytest.approx(mean)


def test_slides_of_a_patient_have_scores_of_their_own(teach, planted, project, tmp_path):
    """Read as one bag, given back slide by slide: ABMIL's weights sum to one over both."""
    rows = tuple(SlideRow(name, "p1") for name in ("square", "other"))
    folder = teach("abmil", planted[0], steps=5).teach(tmp_path / "run")
    models = RunModels.load(folder, CPU)
    case = Cohort(rows).cases("patient")[0]
    found = models.scores(case, models.bags(project, Cohort(rows)))
    assert [scores.slide_id for scores in found] == ["square", "other"]
    assert sum(scores.score().sum() for scores in found) == pytest.approx(1)


@pytest.mark.parametrize("name", ["acmil", "asmil"])
def test_tokens_of_several_models_are_not_mixed(name, teach, planted, cohort_of, tmp_path):
    for fold in range(2):
        teach(name, planted[0], steps=0).teach(tmp_path / "run", fold=fold)
    cohort = cohort_of(planted[0])
    names = {}
    for place in (tmp_path / "run", tmp_path / "run" / "fold-0"):
        models = RunModels.load(place, CPU)
        (scores,) = models.scores(cohort.cases()[0], models.bags(planted[0], cohort))
        names[place.name] = scores.names
    assert names["run"] == ("attention",)
    assert {"attention", "attention:0", "attention:2"} <= set(names["fold-0"])


def test_the_rows_of_hazards_are_bins_of_time_and_no_columns_of_the_predictions(
    teach, planted, tmp_path
):
    """Four bins, and four numbers in a prediction: the risk and survival at three times."""
    folder = teach("class-attention", planted[0], steps=0).teach(tmp_path)
    survival = replace(Checkpoint.load(folder), task=DiscreteSurvival((1.0, 2.0, 3.0)))
    assert len(survival.task.columns) == survival.task.width == 4
    assert row_names(survival, 4) == ["attention:0", "attention:1", "attention:2", "attention:3"]


@pytest.fixture(scope="module")
def marked(teach, planted, tmp_path_factory):
    """A fold of Fluoroformer."""
    return teach("fluoroformer", planted[1], steps=30).teach(tmp_path_factory.mktemp("marked"))


def test_the_matrix_is_the_mean_over_tiles_by_their_attention(marked, planted, cohort_of):
    models, cohort = RunModels.load(marked, CPU), cohort_of(planted[1])
    bags, case = models.bags(planted[1], cohort), cohort.cases()[0]
    (scores,) = models.scores(case, bags)
    with torch.no_grad():
        said = models.ensemble.checkpoints[0].model()(bags.bag(case))
    weights = said.attention[0] / said.attention[0].sum()
    expected = (weights[:, None, None] * said.marker_attention).sum(dim=0)
    assert scores.markers.names == MARKERS
    np.testing.assert_allclose(scores.markers.values, expected, rtol=1e-5)
    np.testing.assert_allclose(scores.markers.values.sum(axis=1), 1, rtol=1e-5)
    received = np.stack([scores.score(f"marker:{name}") for name in MARKERS], axis=1)
    np.testing.assert_allclose(received, said.marker_attention.mean(dim=1), rtol=1e-5)


def test_the_matrix_reads_back_and_is_drawn(marked, planted, cohort_of):
    models, cohort = RunModels.load(marked, CPU), cohort_of(planted[1])
    (scores,) = models.scores(cohort.cases()[0], models.bags(planted[1], cohort))
    lines = [line.split(",") for line in scores.markers.csv().splitlines()]
    assert lines[0] == ["marker", *MARKERS]
    assert [line[0] for line in lines[1:]] == list(MARKERS)
    np.testing.assert_array_equal(
        np.float32([line[1:] for line in lines[1:]]), scores.markers.values
    )
    picture = matrix_picture("a", "b", scores.markers)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20  # cells, bar and letters


def test_a_bag_in_parts_gives_every_tile_its_attentions_and_every_slide_its_matrix(
    marked, planted, cohort_of
):
    """In parts of one tile, the matrix is the plain mean: every tile has all of its attention."""
    models, cohort = RunModels.load(marked, CPU), cohort_of(planted[1])
    checkpoint = models.ensemble.checkpoints[0]
    bag = models.bags(planted[1], cohort).bag(cohort.cases()[0])
    two = Bag(bag.features, bag.coords, bag.lattice, torch.arange(64) // 40)
    model = checkpoint.model()
    whole = answer(model, two, checkpoint.task, CPU)
    parts = answer(model, two, checkpoint.task, CPU, bag_tiles=1)
    torch.testing.assert_close(parts.markers, whole.markers)
    with torch.no_grad():
        markers = model(two).marker_attention
    expected = torch.stack((markers[:40].mean(dim=0), markers[40:].mean(dim=0)))
    torch.testing.assert_close(parts.matrix.mean, expected)
