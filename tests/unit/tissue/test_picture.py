import numpy as np
import pytest
from PIL import Image

from wsi_tools.errors import SlideError
from wsi_tools.slide import open_slide
from wsi_tools.tissue import picture as picture_module
from wsi_tools.tissue.picture import read_picture


class Watched:
    """A slide that notes how many pixels each read asks for."""

    def __init__(self, slide, areas=None):
        self.info = slide.info
        self._slide = slide
        self.areas = [] if areas is None else areas

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._slide.close()

    def reopen(self):
        return Watched(self._slide.reopen(), self.areas)

    def read(self, x, y, width, height, level):
        self.areas.append(width * height)
        return self._slide.read(x, y, width, height, level)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_pixel_is_the_mean_of_the_area_it_covers(slide_of):
    pixels = noise(96, 64)
    picture = read_picture(slide_of(pixels, mpp=0.5), 8.0)
    mean = pixels.reshape(6, 16, 4, 16, 3).mean(axis=(1, 3))
    assert np.abs(picture.pixels - mean).max() <= 0.51
    assert picture.scale == (16.0, 16.0)
    assert picture.mpp == (8.0, 8.0)


def test_reading_in_blocks_changes_nothing(slide_of, monkeypatch):
    slide = slide_of(noise(301, 503), mpp=0.499)
    at_once = read_picture(slide, 2.0).pixels
    monkeypatch.setattr(picture_module, "BLOCK_PX", 64)
    assert np.array_equal(read_picture(slide, 2.0).pixels, at_once)


def test_no_read_is_larger_than_a_block_even_where_there_is_one_level(slide_of):
    watched = Watched(slide_of(np.full((3000, 5000, 3), 240, np.uint8), mpp=0.25))
    picture = read_picture(watched, 8.0)
    assert picture.pixels.shape == (94, 156, 3)
    assert max(watched.areas) <= 1024 * 1024
    assert sum(watched.areas) == pytest.approx(3000 * 5000, rel=0.02)


def test_the_picture_covers_the_slide_exactly(slide_of):
    picture = read_picture(slide_of(noise(101, 203), mpp=0.5), 8.0)
    assert picture.pixels.shape == (6, 13, 3)
    assert picture.scale == (203 / 13, 101 / 6)
    assert picture.mpp == (203 / 13 / 2, 101 / 6 / 2)


def test_a_slide_coarser_than_asked_is_used_as_it_is(slide_of):
    pixels = noise(20, 30)
    picture = read_picture(slide_of(pixels, mpp=4.0), 1.0)
    assert np.array_equal(picture.pixels, pixels)
    assert picture.mpp == (4.0, 4.0)


def test_the_coarsest_level_that_is_fine_enough_is_read(test_data):
    with open_slide(test_data / "truth/truth_dev.svs") as slide:  # levels of 0.5, 2 and 8 µm/px
        picture = read_picture(slide, 8.0)
        assert (picture.level, picture.finer) == (2, 1)
        picture = read_picture(slide, 16.0)
        assert (picture.level, picture.finer) == (2, None)  # which is twice as fine
        picture = read_picture(slide, 2.0)
        assert (picture.level, picture.finer) == (1, None)  # only level 0 is finer
        picture = read_picture(slide, 1.0)
        assert (picture.level, picture.finer) == (0, None)


def test_where_it_is_asked_for_the_level_read_is_twice_as_fine(test_data):
    with open_slide(test_data / "truth/truth_dev.svs") as slide:
        levels = [read_picture(slide, mpp, fine=True).level for mpp in (8.0, 16.0, 2.0, 1.0)]
    assert levels == [1, 2, 1, 0]


def test_a_picture_too_large_for_memory_is_refused_before_it_is_made(slide_of, monkeypatch):
    monkeypatch.setattr(picture_module, "LARGEST_VALUES", 300)
    with pytest.raises(SlideError, match=r"case\.png: at 1 µm/px .*; choose a coarser --seg-mpp"):
        read_picture(slide_of(noise(20, 30), mpp=1.0), 1.0)


def test_a_slide_without_resolution_is_refused(tmp_path):
    Image.fromarray(noise(20, 30)).save(tmp_path / "case.png")
    with open_slide(tmp_path / "case.png") as slide, pytest.raises(SlideError, match="--mpp-over"):
        read_picture(slide, 8.0)
