from types import SimpleNamespace

import numpy as np
import pytest

from wsi_tools.slide import sampling
from wsi_tools.slide.info import Level
from wsi_tools.slide.sampling import read_box

NOISE = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)


class ArraySlide:
    """A slide held in memory, one level at the downsample given."""

    def __init__(self, pixels, downsample=1.0):
        self.pixels = pixels
        size = pixels.shape[1], pixels.shape[0]
        self.info = SimpleNamespace(levels=(Level(size, downsample),))

    def read(self, x, y, width, height, level):
        assert level == 0
        outside = 255 if self.pixels.shape[2] == 3 else 0
        canvas = np.full((height, width, self.pixels.shape[2]), outside, self.pixels.dtype)
        rows = np.arange(max(y, 0), min(y + height, self.pixels.shape[0]))
        columns = np.arange(max(x, 0), min(x + width, self.pixels.shape[1]))
        canvas[np.ix_(rows - y, columns - x)] = self.pixels[np.ix_(rows, columns)]
        return canvas


def by_definition(pixels, box, size_px):
    """The mean over each output pixel's area, one pixel and one source pixel at a time."""

    def weights(start, length, count, sources):
        step = length / count
        reach = max(step, 1.0) / 2
        table = np.zeros((count, sources))
        for out in range(count):
            low, high = start + (out + 0.5) * step - reach, start + (out + 0.5) * step + reach
            for j in range(max(0, int(low)), min(sources, int(high) + 1)):
                table[out, j] = max(0.0, min(high, j + 1) - max(low, j)) / (2 * reach)
        return table

    x = weights(box[0], box[2], size_px[0], pixels.shape[1])
    y = weights(box[1], box[3], size_px[1], pixels.shape[0])
    return np.einsum("ij,jkc,lk->ilc", y, pixels.astype(float), x, optimize=True)


@pytest.mark.parametrize(
    ("box", "size_px"),
    [
        ((0, 0, 513.03, 513.03), (256, 256)),
        ((10.3, 7.9, 513.03, 513.03), (256, 256)),
        ((3.25, 100.75, 256.5, 256.5), (256, 256)),
        ((20.5, 20.5, 160.0, 80.0), (256, 128)),  # twice as fine as the slide
        ((1.1, 2.2, 600.7, 300.1), (37, 51)),  # another ratio along each axis
        ((100.5, 100.5, 64.0, 64.0), (64, 64)),
        ((100, 50, 64.0, 128.0), (64, 64)),
    ],
)
def test_every_pixel_is_the_mean_of_the_area_it_covers(box, size_px):
    expected = by_definition(NOISE, box, size_px)
    found = read_box(ArraySlide(NOISE), box, size_px, 0)
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    assert (found == np.floor(expected + 0.5)).mean() > 0.999


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 6, 8, 16])
def test_the_fast_paths_give_the_same_bytes_as_the_general_one(factor):
    axis = sampling._Axis(0.0, float(factor), 700 // factor)
    source = NOISE[: axis.end, : axis.end]
    assert axis.factor == factor
    assert np.array_equal(
        sampling._resampled(source, axis, axis), sampling._area_mean(source, axis, axis)
    )


def test_a_half_is_rounded_up():
    pixels = np.array([[[0] * 3, [1] * 3], [[0] * 3, [1] * 3]], np.uint8)
    assert read_box(ArraySlide(pixels), (0, 0, 2, 2), (1, 1), 0).tolist() == [[[1, 1, 1]]]
    four = np.zeros((4, 4, 3), np.uint8)
    four[:2] = 5  # mean 2.5, which rounding to even would make 2
    assert read_box(ArraySlide(four), (0, 0, 4, 4), (1, 1), 0).tolist() == [[[3, 3, 3]]]


def test_an_aligned_box_of_the_same_size_is_a_copy_of_the_pixels():
    found = read_box(ArraySlide(NOISE), (40, 30, 256, 128), (256, 128), 0)
    assert np.array_equal(found, NOISE[30:158, 40:296])


def test_the_box_is_in_level_0_pixels_whatever_level_is_read():
    level = ArraySlide(NOISE, downsample=4.0)
    same = ArraySlide(NOISE)
    assert np.array_equal(
        read_box(level, (41.2, 82.8, 1026.06, 1026.06), (128, 128), 0),
        read_box(same, (10.3, 20.7, 256.515, 256.515), (128, 128), 0),
    )


def test_outside_the_slide_is_white_and_mixes_into_the_edge_pixels():
    black = ArraySlide(np.zeros((8, 8, 3), np.uint8))
    found = read_box(black, (-4.0, 0.0, 8.0, 8.0), (4, 4), 0)
    assert found[0, :, 0].tolist() == [255, 255, 0, 0]
    found = read_box(black, (-1.0, 0.0, 8.0, 8.0), (4, 4), 0)
    assert found[0, :, 0].tolist() == [128, 0, 0, 0]  # half of the first lies outside


def test_a_flat_picture_stays_flat_at_every_scale_and_offset():
    flat = ArraySlide(np.full((700, 700, 3), 255, np.uint8))
    for length in (33.3, 256.5, 513.03, 640.0):
        assert read_box(flat, (7.7, 3.1, length, length), (256, 256), 0).min() == 255


def test_upsampling_is_linear_interpolation_between_pixel_centres():
    ramp = np.zeros((1, 2, 3), np.uint8)
    ramp[0, 1] = 200
    slide = ArraySlide(np.repeat(ramp, 4, axis=0))
    found = read_box(slide, (0.5, 1.0, 1.0, 1.0), (4, 1), 0)
    assert found[0, :, 0].tolist() == [25, 75, 125, 175]  # at 1/8, 3/8, 5/8, 7/8 of the way


BOXES = [
    ((10.3, 7.9, 513.03, 513.03), (256, 256)),  # no edge meets another
    ((8, 6, 512.0, 512.0), (256, 256)),  # halved
    ((8, 6, 510.0, 510.0), (170, 170)),  # a third, whose weights no float holds
    ((20.5, 20.5, 160.0, 80.0), (256, 128)),  # twice as fine as the slide
    ((100, 50, 64.0, 128.0), (64, 64)),  # halved along one axis
]


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize(("box", "size_px"), BOXES)
def test_uint16_is_rounded_as_the_exact_mean_is(box, size_px, channels):
    pixels = np.random.default_rng(2).integers(0, 65_536, (700, 700, channels)).astype(np.uint16)
    exact = by_definition(pixels, box, size_px)
    found = read_box(ArraySlide(pixels), box, size_px, 0)
    assert found.dtype == np.uint16
    certain = np.abs(exact + 0.5 - np.round(exact + 0.5)) > 1e-6  # a tie is tested below
    assert np.array_equal(found[certain], np.floor(exact + 0.5)[certain])
    assert np.abs(found - exact).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("step", [1.0, 0.999])
def test_a_tie_of_large_numbers_is_rounded_up(step):
    """The mean of v and v + 1 is v + 1/2, wherever the box's edges lie in a constant row."""
    pixels = np.empty((64, 64, 5), np.uint16)
    pixels[:, 0::2], pixels[:, 1::2] = 65_000, 65_001
    found = read_box(ArraySlide(pixels), (0, 0, 64.0, 64.0 * step), (32, 32), 0)
    assert (found == 65_001).all()


@pytest.mark.parametrize(("box", "size_px"), BOXES)
def test_float_values_are_not_rounded(box, size_px):
    pixels = np.random.default_rng(3).random((700, 700, 4)).astype(np.float32)
    found = read_box(ArraySlide(pixels), box, size_px, 0)
    assert found.dtype == np.float32
    assert np.allclose(found, by_definition(pixels, box, size_px), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("box", "size_px"), BOXES)
def test_markers_of_bytes_are_sampled_as_colours_are(box, size_px):
    colours = read_box(ArraySlide(NOISE), box, size_px, 0)
    markers = read_box(ArraySlide(np.concatenate([NOISE, NOISE], axis=2)), box, size_px, 0)
    assert np.array_equal(markers, np.concatenate([colours, colours], axis=2))


def test_each_channel_is_sampled_as_if_it_were_alone():
    pixels = np.random.default_rng(4).integers(0, 65_536, (300, 300, 5)).astype(np.uint16)
    box, size_px = (3.3, 4.4, 256.7, 250.1), (100, 90)
    together = read_box(ArraySlide(pixels), box, size_px, 0)
    for channel in range(5):
        alone = read_box(ArraySlide(pixels[..., [channel]]), box, size_px, 0)
        assert np.array_equal(together[..., [channel]], alone)
