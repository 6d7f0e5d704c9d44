"""The cache of decoded pieces: what is decoded how often, and what is let go of."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from wsi_tools.slide.pieces import LAG, PieceCache


class Loading:
    """Loads pieces of a hundred bytes, and remembers which."""

    def __init__(self, cache):
        self.cache, self.loaded = cache, []

    def get(self, band, column, size=100):
        def load():
            self.loaded.append((band, column))
            return np.full(size, column, np.uint8)

        return self.cache.get((band,), column, load)


def test_a_piece_is_loaded_once_while_its_band_is_kept():
    loading = Loading(PieceCache())
    for band, column in ((0, 1), (0, 1), (1, 1), (0, 2), (1, 1)):
        assert loading.get(band, column)[0] == column
    assert loading.loaded == [(0, 1), (1, 1), (0, 2)]


def test_a_band_that_none_of_the_latest_rectangles_met_is_let_go_of():
    loading = Loading(PieceCache())
    loading.get(0, 0)
    for _ in range(LAG):
        loading.cache.begin()
        loading.get(1, 0)
    loading.get(0, 0)
    assert loading.loaded == [(0, 0), (1, 0)]
    for _ in range(LAG + 1):
        loading.cache.begin()
        loading.get(1, 0)
    loading.get(0, 0)
    assert loading.loaded == [(0, 0), (1, 0), (0, 0)]


def test_no_more_bytes_are_held_than_allowed():
    loading = Loading(PieceCache(limit_bytes=250))
    for column in (0, 1, 2):  # the third drives out the first
        loading.get(0, column)
    loading.loaded.clear()
    for column in (1, 2, 0):
        loading.get(0, column)
    assert loading.loaded == [(0, 0)]


def test_a_piece_larger_than_the_limit_is_given_and_not_held():
    loading = Loading(PieceCache(limit_bytes=250))
    loading.get(0, 0)
    assert loading.get(0, 1, size=1000).sum() == 1000
    loading.get(0, 0)
    loading.get(0, 1, size=1000)
    assert loading.loaded == [(0, 0), (0, 1), (0, 1)]


def test_a_piece_that_two_threads_want_is_loaded_once():
    cache, started, asked, loads = PieceCache(), Event(), Event(), []

    def load():
        loads.append(1)
        started.set()
        assert asked.wait(10)
        return np.ones(3)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.get, (0,), 0, load)
        assert started.wait(10)
        second = threads.submit(cache.get, (0,), 0, load)
        asked.set()
        assert first.result() is second.result()
    assert loads == [1]


def test_a_piece_that_could_not_be_loaded_is_tried_again():
    cache = PieceCache()

    def broken():
        raise OSError("a disk that stumbled")

    with pytest.raises(OSError, match="stumbled"):
        cache.get((0,), 0, broken)
    assert cache.get((0,), 0, lambda: np.ones(3)).sum() == 3


def test_a_piece_whose_band_was_let_go_of_while_it_was_loaded_is_not_held():
    cache, loads = PieceCache(limit_bytes=250), []

    def load():
        loads.append(1)
        for _ in range(LAG + 1):
            cache.begin()
        return np.ones(3)

    for _ in range(2):
        assert cache.get((0,), 0, load).sum() == 3
    assert len(loads) == 2
