import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from PIL import Image

from wsi_tools.errors import InputError
from wsi_tools.slide import open_slide
from wsi_tools.tissue import PRESETS, Region, TissueOptions, overlay, segment
from wsi_tools.tissue.contours import rasterised

HE = replace(PRESETS["he"], seg_mpp=4.0, close_um=0.0)  # every pixel as it is drawn
PEN, PEN_OVER_TISSUE, DEBRIS = 2, 3, 4


@pytest.fixture(scope="module")
def truth(test_data):
    """The `he` tissue of the slide whose truth is known, at level 0, and the truth."""
    labels = np.asarray(Image.open(test_data / "truth/truth_dev_labels.png"))
    with open_slide(test_data / "truth/truth_dev.svs") as slide:
        tissue = segment(slide)
    found = rasterised(tissue.outlines, labels.shape, (1.0, 1.0)).astype(bool)
    return found, labels


def box(*corners: float, name: str = "") -> Region:
    return Region(shapely.MultiPolygon([shapely.box(*corners)]), name)


def test_the_tissue_of_the_slide_whose_truth_is_known_is_found(truth):
    found, labels = truth
    judged = labels <= 1
    both = (found & (labels == 1)).sum()
    dice = 2 * both / (found[judged].sum() + (labels == 1).sum())
    assert dice > 0.95


def test_pen_and_dust_are_left_out(truth):
    found, labels = truth
    assert found[labels == PEN].mean() < 0.01
    assert found[labels == DEBRIS].mean() < 0.01


def test_no_outline_is_smaller_than_the_least_area(test_data):
    with open_slide(test_data / "truth/truth_dev.svs") as slide:
        pieces = segment(slide).outlines.geoms
    holes = [shapely.Polygon(hole) for piece in pieces for hole in piece.interiors]
    assert min(shapely.Polygon(piece.exterior).area for piece in pieces) * 0.5**2 >= 20_000
    assert min(hole.area for hole in holes) * 0.5**2 >= 4_000


def test_the_pale_piece_is_found_like_the_dark_ones(truth):
    found, labels = truth
    pale = (slice(1700, 2480), slice(240, 1110))
    assert found[pale][labels[pale] == 1].mean() > 0.95


@pytest.mark.parametrize("kind", ["svs", "mrxs", "scn", "ndpi", "bif"])
def test_one_slide_in_other_containers_has_the_same_tissue(test_data, kind):
    def tissue_um2(path):
        with open_slide(path) as slide:
            tissue = segment(slide)
            return tissue.outlines.area * slide.info.mpp[0] * slide.info.mpp[1]

    expected = tissue_um2(test_data / "slides/cmu-1-small-region.svs")
    assert tissue_um2(test_data / f"vendors/cmu1.{kind}") == pytest.approx(expected, rel=0.03)


def test_a_slide_full_of_tissue_is_taken_whole(test_data):
    with open_slide(test_data / "slides/OS-1-detail.ome.tif") as slide:
        assert segment(slide).mask.mean() > 0.99


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", ["otsu", "hsv", "entropy"])
@pytest.mark.parametrize("grey", [240, 255])
def test_a_blank_slide_has_no_tissue(slide_of, preset, method, grey):
    blank = np.full((64, 64, 3), grey, np.uint8)
    options = replace(PRESETS[preset], method=method, seg_mpp=4.0)
    tissue = segment(slide_of(blank), options)
    assert not tissue.mask.any()
    assert tissue.outlines.is_empty
    assert np.array_equal(overlay(tissue), blank)


def test_a_black_slide_has_no_tissue(slide_of):
    assert not segment(slide_of(np.zeros((64, 64, 3), np.uint8))).mask.any()


def test_outlines_and_mask_describe_the_same_area(slide_of, section):
    tissue = segment(slide_of(section), HE)
    assert tissue.mask.sum() == 60 * 60 - 20 * 20
    assert tissue.outlines.area == 60 * 60 - 20 * 20
    (piece,) = tissue.outlines.geoms
    assert shapely.Polygon(piece.exterior).equals(shapely.box(30, 20, 90, 80))
    assert shapely.Polygon(piece.interiors[0]).equals(shapely.box(50, 40, 70, 60))


def test_thresholds_are_areas_in_square_micrometres(slide_of, section):
    piece_um2, hole_um2 = 3200 * 16.0, 400 * 16.0
    slide = slide_of(section, mpp=4.0)
    assert segment(slide, replace(HE, min_area_um2=piece_um2)).mask.sum() == 3200
    assert segment(slide, replace(HE, min_area_um2=piece_um2 + 16)).mask.sum() == 0
    assert segment(slide, replace(HE, min_hole_area_um2=hole_um2 + 16)).mask.sum() == 3600
    finer = slide_of(section, mpp=2.0, name="finer")
    assert segment(finer, replace(HE, seg_mpp=2.0, min_area_um2=piece_um2)).mask.sum() == 0


def test_a_stroke_of_ink_is_cut_out_of_the_tissue_it_crosses(slide_of, section):
    section[30:36, :] = (45, 130, 104)
    tissue = segment(slide_of(section), replace(HE, min_area_um2=0.0))
    assert not tissue.mask[30:36].any()
    assert tissue.mask[22:28, 32:88].all()


def test_only_tissue_inside_the_regions_and_outside_the_excluded_counts(slide_of, section):
    slide = slide_of(section)
    half = box(0, 0, 60.0, 100, name="Tumour")
    tissue = segment(slide, HE, roi=[half])
    assert tissue.outlines.area == 1800 - 200
    assert tissue.mask.sum() == 1800 - 200
    assert [region.name for region in tissue.regions] == ["Tumour"]
    cut = segment(slide, HE, roi=[half], exclude=[box(0, 0, 100, 39.5)])
    assert cut.outlines.area == pytest.approx(30 * 40.5 - 200)
    assert cut.mask.sum() == 30 * 41 - 200  # the centres of row 39 lie on the cut, and count
    assert not segment(slide, HE, roi=[]).mask.any()


def test_method_none_takes_the_whole_slide(slide_of, section):
    tissue = segment(slide_of(section[:10, :10], mpp=0.5), TissueOptions(method="none"))
    assert tissue.outlines.equals(shapely.box(0, 0, 10, 10))
    assert tissue.mask.all()


def test_method_none_stays_within_the_bounds(test_data):
    with open_slide(test_data / "vendors/cmu1.mrxs") as slide:
        bounds = slide.info.bounds
        outline = segment(slide, TissueOptions(method="none")).outlines
    corner = (bounds.x + bounds.width, bounds.y + bounds.height)
    assert bounds.width < slide.info.size[0]
    assert outline.equals(shapely.box(bounds.x, bounds.y, *corner))


def test_every_number_that_made_the_mask_is_kept(slide_of, section):
    tissue = segment(slide_of(section), replace(HE, close_um=24.0))
    assert tissue.method == "otsu"
    kept = json.loads(json.dumps(tissue.parameters))
    assert kept["close_um"] == 24.0
    assert kept["mpp"] == [4.0, 4.0]
    assert kept["measured"]["glass"] == [242, 240, 243]
    assert 0.02 <= kept["measured"]["threshold"] <= 0.05


def test_outlines_are_drawn_where_the_tissue_ends(slide_of, section):
    tissue = segment(slide_of(section), HE)
    drawn = (overlay(tissue) != tissue.thumbnail).any(axis=-1)
    assert drawn[50, 29:31].any()  # the left side of the piece
    assert drawn[50, 49:51].any()  # the left side of the hole
    assert not drawn[50, 32:48].any()
    assert not drawn[:18].any()


@pytest.mark.parametrize(
    "wrong", [{"seg_mpp": 0}, {"seg_mpp": float("nan")}, {"min_area_um2": -1}, {"close_um": -2.0}]
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(InputError, match="--"):
        TissueOptions(**wrong)


def test_an_unknown_method_names_the_known_ones(slide_of, section):
    with pytest.raises(InputError, match="otsu, hsv, entropy, none"):
        segment(slide_of(section), TissueOptions(method="magic"))
