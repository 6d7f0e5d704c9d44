"""The pyramid of a plane: sizes, halving, and what is streamed."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest

from wsi_tools.slide.geometry import pyramid
from wsi_tools.splitting.pyramid import TILE_PX, band, level_sizes, streamed, tile_rows


def of(pixels):
    return lambda x, y, width, height: pixels[y : y + height, x : x + width]


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((500, 512), [(500, 512)]),
        ((1025, 513), [(1025, 513), (512, 256)]),
        ((4001, 3003), [(4001, 3003), (2000, 1501), (1000, 750), (500, 375)]),
        ((100_000, 1), [(100_000, 1)]),
    ],
)
def test_levels_are_halved_until_one_tile_holds_them(size, sizes):
    assert level_sizes(size) == tuple(sizes)
    downsamples = [level.downsample for level in pyramid(level_sizes(size))]
    assert downsamples == [2.0**level for level in range(len(sizes))]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_each_pixel_of_a_level_is_the_rounded_mean_of_four_of_the_one_above(dtype):
    pixels = (np.random.default_rng(6).random((1203, 1405)) * 65_535).astype(dtype)
    levels = [np.zeros(size[::-1], dtype) for size in level_sizes((1405, 1203))]
    with ThreadPoolExecutor(2) as pool:
        rows = list(streamed(of(pixels), levels, dtype, pool))
    assert np.array_equal(levels[0], pixels)
    for above, level in pairwise(levels):
        height, width = level.shape
        blocks = above[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
        mean = blocks.mean(axis=(1, 3), dtype=np.float64)
        if dtype == "float32":
            assert np.allclose(level, mean, rtol=1e-6)
        else:
            assert np.array_equal(level, np.floor(mean + 0.5))
    assert sum(rows) == sum(level.shape[0] for level in levels)
    assert max(rows) == TILE_PX


def test_a_band_is_a_lazy_array_with_a_chunk_for_each_tile():
    asked = []

    def block(x, y, width, height):
        asked.append((x, y, width, height))
        return np.zeros((height, width), np.uint16)

    array = band(block, (512, 700), 1100, "uint16")
    assert isinstance(array, da.Array)
    assert array.chunks == ((188,), (512, 512, 76))
    assert asked == []
    array.compute(scheduler="synchronous")
    assert sorted(asked) == [(0, 512, 512, 188), (512, 512, 512, 188), (1024, 512, 76, 188)]


def test_rows_of_tiles_cover_everything_once():
    assert list(tile_rows(1100)) == [(0, 512), (512, 1024), (1024, 1100)]
    assert list(tile_rows(512)) == [(0, 512)]
