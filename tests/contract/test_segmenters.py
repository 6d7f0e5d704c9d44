"""What holds for every method of finding tissue, built in or plugged in."""

import json

import numpy as np
import pytest

from wsi_tools.tissue import MULTIPLEX_SEGMENTERS, SEGMENTERS, TissueOptions


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pink noise on glass, uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), (242, 240, 243), np.uint8)
    inside = picture[height // 4 : height // 2, width // 4 : width // 2]
    inside[:] = np.array([215, 140, 190]) + rng.integers(-25, 26, inside.shape)
    return picture


def glow(height: int, width: int, seed: int = 0) -> np.ndarray:
    """One bright and noisy channel, where there is tissue; float32 (h, w, 1)."""
    rng = np.random.default_rng(seed)
    picture = rng.uniform(1, 3, (height, width, 1)).astype(np.float32)
    inside = picture[height // 4 : height // 2, width // 4 : width // 2]
    inside += rng.uniform(100, 120, inside.shape).astype(np.float32)
    return picture


COLOURS = [(SEGMENTERS, name, texture, 240) for name in SEGMENTERS]
CHANNELS = [(MULTIPLEX_SEGMENTERS, name, glow, 0.0) for name in MULTIPLEX_SEGMENTERS]


@pytest.fixture(params=COLOURS + CHANNELS, ids=lambda each: f"{each[2].__name__}-{each[1]}")
def kind(request):
    return request.param


@pytest.fixture
def find(kind):
    return kind[0][kind[1]]


@pytest.fixture
def texture_of(kind):
    """Make a picture with tissue, of the kind of slide that the method is for."""
    return kind[2]


@pytest.fixture
def blank(kind):
    """A picture of that kind without any."""
    return np.full_like(kind[2](40, 50), kind[3])


def test_the_mask_has_the_pictures_shape_and_finds_the_middle_of_the_tissue(find, texture_of):
    found = find(texture_of(80, 120), TissueOptions())
    assert found.mask.dtype == bool
    assert found.mask.shape == (80, 120)
    assert found.mask[30, 45]


def test_glass_is_no_tissue_unless_everything_is(find, blank):
    found = find(blank, TissueOptions())
    assert found.final or not found.mask.any()


def test_the_picture_turned_over_gives_the_mask_turned_over(find, texture_of):
    picture = texture_of(80, 120)
    mask = find(picture, TissueOptions()).mask
    turned = find(np.ascontiguousarray(picture[::-1, ::-1]), TissueOptions()).mask
    assert np.array_equal(turned, mask[::-1, ::-1])


def test_the_picture_is_left_as_it_was_and_the_answer_is_the_same_again(find, texture_of):
    picture = texture_of(80, 120)
    before = picture.copy()
    first, second = find(picture, TissueOptions()), find(picture, TissueOptions())
    assert np.array_equal(picture, before)
    assert np.array_equal(first.mask, second.mask)
    assert first.measured == second.measured


def test_what_was_measured_can_be_written_as_json(find, texture_of):
    measured = find(texture_of(80, 120), TissueOptions()).measured
    assert isinstance(json.loads(json.dumps(measured)), dict)


def test_a_picture_of_one_pixel_is_enough(find, blank):
    assert find(np.ascontiguousarray(blank[:1, :1]), TissueOptions()).mask.shape == (1, 1)
