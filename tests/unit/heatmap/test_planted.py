"""A bright square on a slide receives the heat, to the tile, whatever the model and the scan."""

from pathlib import Path

import numpy as np
import pytest

from wsi_tools.heatmap import (
    RunModels,
    extremes,
    frame_of,
    from_slide,
    heat_field,
    slide_of,
)
from wsi_tools.mil import CARDS
from wsi_tools.prediction import Computing
from wsi_tools.slide import open_slide
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import TissueOptions, segment

CPU = Computing("cpu", "fp32")
SQUARE_UM = (192, 128, 384, 320)
UNIFORM = ("mean",)  # its card: 1/N for every tile
ONE_TILE = ("max",)  # its card: one at the tile that gave the logit


def scores_of(run, project, cohort_of):
    models = RunModels.load(run, CPU)
    cohort = cohort_of(project)
    bags = models.bags(project, cohort)
    return {case.case_id: models.scores(case, bags)[0] for case in cohort.cases()}


@pytest.fixture(scope="module")
def abmil(teach, planted, tmp_path_factory):
    """A run whose one fold attends to the square."""
    run = tmp_path_factory.mktemp("abmil")
    teach("abmil", planted[0]).teach(run)
    return run


@pytest.mark.parametrize("name", list(CARDS))
def test_the_square_receives_the_heat_of_every_model(
    name, teach, planted, inside, cohort_of, tmp_path
):
    project = planted["markers" in CARDS[name].needs]
    teach(name, project).teach(tmp_path)
    scores = scores_of(tmp_path, project, cohort_of)["square"]
    heat, square = scores.score(), inside(scores.grid)
    if name in UNIFORM:
        np.testing.assert_allclose(heat, 1 / 64, rtol=1e-6)
    elif name in ONE_TILE:
        bright = scores.score("attention:bright")
        assert bright.sum() == 1
        assert square[bright.argmax()]
    else:
        assert heat[square].min() > heat[~square].max()
        assert set(extremes(heat, 9).top) == set(np.flatnonzero(square))


@pytest.mark.parametrize("name", list(CARDS))
def test_a_tiles_score_is_what_the_model_said_of_that_tile(
    name, teach, planted, cohort_of, tmp_path
):
    project = planted["markers" in CARDS[name].needs]
    teach(name, project, steps=0).teach(tmp_path)
    models, cohort = RunModels.load(tmp_path, CPU), cohort_of(project)
    bags, (case,) = models.bags(project, cohort), cohort.cases()
    (said,) = next(models.ensemble.predictions([case], bags)).answers
    (scores,) = models.scores(case, bags)
    rows = said.attention.numpy()
    if CARDS[name].rows == "classes":
        assert scores.of in ("dull", "bright")
        named = [scores.score(f"attention:{each}") for each in ("dull", "bright")]
        np.testing.assert_array_equal(np.stack(named), rows)
        np.testing.assert_array_equal(scores.score(), scores.score(f"attention:{scores.of}"))
    else:
        np.testing.assert_allclose(scores.score(), rows.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
def test_the_same_tissue_gets_the_same_heat_at_every_magnification(
    mpp, abmil, planted, write_slide, write_store, cohort_of, tmp_path
):
    expected = scores_of(abmil, planted[0], cohort_of)["square"]
    write_store(tmp_path / "proj", "other", write_slide(tmp_path / "other.tiff", mpp))
    found = scores_of(abmil, tmp_path / "proj", cohort_of)["other"]
    np.testing.assert_array_equal(found.grid.index, expected.grid.index)
    np.testing.assert_allclose(found.score(), expected.score(), rtol=1e-5)


@pytest.mark.parametrize("mpp", [0.25, 0.37, 0.5, 0.7, 1.0])
def test_the_heat_lies_on_the_square_of_the_picture(
    mpp, abmil, write_slide, write_store, cohort_of, tmp_path
):
    """Hot pixels are those where the slide itself is bright, to a pixel of its edge."""
    write_store(tmp_path / "proj", "odd", write_slide(tmp_path / "odd.tiff", mpp))
    scores = scores_of(abmil, tmp_path / "proj", cohort_of)["odd"]
    store = scores.feature_store()
    frame = frame_of(store.slide, store.tissue().scale, 512)
    field = heat_field(scores.grid, scores.score(), frame)
    hot = field.values > 0.5 * np.nanmax(field.values)
    with slide_of(store) as slide:
        bright = from_slide(slide, frame)[..., 1] > 160
    y, x = np.nonzero(hot)
    found_um = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) * frame.um_per_px
    np.testing.assert_allclose(found_um, SQUARE_UM, atol=1.5 * frame.um_per_px)
    assert (hot != bright).mean() < 0.01


def test_a_dull_slide_has_no_square_of_heat(abmil, write_slide, write_store, cohort_of, tmp_path):
    path = write_slide(tmp_path / "dull.tiff", square=False)
    write_store(tmp_path / "proj", "dull", path)
    heat = scores_of(abmil, tmp_path / "proj", cohort_of)["dull"].score()
    np.testing.assert_allclose(heat, 1 / 64, rtol=1e-5)


def test_overlapping_tiles_share_the_heat(
    teach, write_slide, write_store, cohort_of, inside, tmp_path
):
    """Half-overlapping tiles: the square's middle is hot, far from it nothing is."""
    project = tmp_path / "proj"
    spec = TileSpec(px=64, mpp=1.0, overlap=32)
    write_store(project, "square", write_slide(tmp_path / "square.tiff"), spec=spec)
    teach("abmil", project).teach(tmp_path / "run")
    scores = scores_of(tmp_path / "run", project, cohort_of)["square"]
    store = scores.feature_store()
    field = heat_field(
        scores.grid, scores.score(), frame_of(store.slide, store.tissue().scale, 128)
    )
    um = field.frame.um_per_px
    inner = field.values[round(192 / um) : round(256 / um), round(256 / um) : round(320 / um)]
    assert inner.min() > 10 * field.values[: round(64 / um)].max()


def test_vendors_that_pad_a_slide_put_the_heat_on_the_same_tissue(test_data):
    """MRXS and SCN hold CMU-1 inside larger canvases: heat moves with their bounds."""
    found = {}
    for name in ("cmu1.svs", "cmu1.mrxs", "cmu1.scn"):
        with open_slide(Path(test_data) / "vendors" / name) as slide:
            tissue = segment(slide, TissueOptions(method="none"))
            grid = tile(slide.info, tissue, TileSpec(px=128, mpp=1.0))
            frame = frame_of(slide.info, tissue.scale)
            hot = (grid.index == (3, 2)).all(axis=1)
            assert hot.sum() == 1
            field = heat_field(grid, hot.astype(float), frame)
            y, x = np.nonzero(field.values > 0.5)
            corner = np.array(frame.box[:2]) + np.array((x.min(), y.min())) * frame.scale
            found[name] = corner - (slide.info.bounds.x, slide.info.bounds.y)
            under = from_slide(slide, frame)[field.values > 0.5].astype(float)
            found[name + " colour"] = under.mean(axis=0)
    for name in ("cmu1.mrxs", "cmu1.scn"):
        np.testing.assert_allclose(found[name], found["cmu1.svs"], atol=5)  # two picture pixels
        np.testing.assert_allclose(
            found[f"{name} colour"], found["cmu1.svs colour"], atol=3
        )  # of 255: JPEG, and edges
