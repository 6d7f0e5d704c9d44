"""What holds for every method of finding tissue, built in or plugged in."""

import json

import numpy as np
import pytest

from wsi_tools.tissue import SEGMENTERS, TissueOptions


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pink noise on glass, uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), (242, 240, 243), np.uint8)
    inside = picture[height // 4 : height // 2, width // 4 : width // 2]
    inside[:] = np.array([215, 140, 190]) + rng.integers(-25, 26, inside.shape)
    return picture


@pytest.fixture(params=list(SEGMENTERS))
def find(request):
    return SEGMENTERS[request.param]


def test_the_mask_has_the_pictures_shape_and_finds_the_middle_of_the_tissue(find):
    found = find(texture(80, 120), TissueOptions())
    assert found.mask.dtype == bool
    assert found.mask.shape == (80, 120)
    assert found.mask[30, 45]


def test_glass_is_no_tissue_unless_everything_is(find):
    blank = np.full((40, 50, 3), 240, np.uint8)
    found = find(blank, TissueOptions())
    assert found.final or not found.mask.any()


def test_the_picture_turned_over_gives_the_mask_turned_over(find):
    picture = texture(80, 120)
    mask = find(picture, TissueOptions()).mask
    turned = find(np.ascontiguousarray(picture[::-1, ::-1]), TissueOptions()).mask
    assert np.array_equal(turned, mask[::-1, ::-1])


def test_the_picture_is_left_as_it_was_and_the_answer_is_the_same_again(find):
    picture = texture(80, 120)
    before = picture.copy()
    first, second = find(picture, TissueOptions()), find(picture, TissueOptions())
    assert np.array_equal(picture, before)
    assert np.array_equal(first.mask, second.mask)
    assert first.measured == second.measured


def test_what_was_measured_can_be_written_as_json(find):
    assert isinstance(
        json.loads(json.dumps(find(texture(80, 120), TissueOptions()).measured)), dict
    )


def test_a_picture_of_one_pixel_is_enough(find):
    assert find(np.full((1, 1, 3), 240, np.uint8), TissueOptions()).mask.shape == (1, 1)
