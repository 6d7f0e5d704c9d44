import json

import numpy as np
import pytest

from wsi_tools.channels import Normalization, Statistics, combined, fitted
from wsi_tools.errors import DataError, InputError

PERCENTILE, ZSCORE = Normalization.parse("percentile:10,90"), Normalization.parse("zscore")
MARKERS = ("CD8", "DAPI")
VALUES = np.stack([np.arange(101), np.full(101, 7)], axis=1).astype(np.float32)


def test_percentiles_are_those_of_the_tissue():
    found = fitted(PERCENTILE, MARKERS, VALUES, "s1")
    assert found.of("CD8") == (10.0, 80.0)
    assert found.slides == ("s1",)


def test_mean_and_standard_deviation_are_those_of_the_tissue():
    mean, deviation = fitted(ZSCORE, MARKERS, VALUES, "s1").of("CD8")
    assert mean == 50.0
    assert deviation == pytest.approx(np.sqrt((101**2 - 1) / 12))


@pytest.mark.parametrize("rule", [PERCENTILE, ZSCORE])
def test_a_constant_marker_has_no_span(rule):
    assert fitted(rule, MARKERS, VALUES, "s1").of("DAPI") == (7.0, 0.0)


def test_a_slide_without_tissue_cannot_be_fitted_on():
    with pytest.raises(DataError, match="s1: has no tissue to fit --normalize zscore on"):
        fitted(ZSCORE, MARKERS, VALUES[:0], "s1")


def test_a_cohort_takes_the_median_of_the_slides_percentiles():
    slides = [fitted(PERCENTILE, MARKERS, VALUES * gain, f"s{gain}") for gain in (1, 2, 10)]
    found = combined(slides)
    assert found.of("CD8") == (20.0, 160.0)
    assert found.slides == ("s1", "s2", "s10")


def test_a_cohort_has_the_moments_of_all_its_slides_together():
    slides = [fitted(ZSCORE, MARKERS, values, "s") for values in (VALUES, VALUES * 3 + 5)]
    together = np.concatenate([VALUES, VALUES * 3 + 5]).astype(np.float64)
    mean, deviation = combined(slides).of("CD8")
    assert mean == pytest.approx(together[:, 0].mean())
    assert deviation == pytest.approx(together[:, 0].std())


def test_one_slide_is_a_cohort_of_its_own_statistics():
    for rule in (PERCENTILE, ZSCORE):
        alone = fitted(rule, MARKERS, VALUES, "s1")
        assert combined([alone]).of("CD8") == pytest.approx(alone.of("CD8"))


def test_slides_of_other_markers_or_rules_are_not_combined():
    one = fitted(ZSCORE, MARKERS, VALUES, "s1")
    for other in (
        fitted(ZSCORE, MARKERS[::-1], VALUES, "s2"),
        fitted(PERCENTILE, MARKERS, VALUES, "s2"),
    ):
        with pytest.raises(InputError, match="cannot be combined"):
            combined([one, other])
    with pytest.raises(InputError, match="--normalize-fit names no slide"):
        combined([])


def test_statistics_come_back_from_json():
    found = fitted(ZSCORE, MARKERS, VALUES, "s1")
    assert Statistics.from_json(json.loads(json.dumps(found.to_json()))) == found
