"""Tiles read ahead of whoever computes on them."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from wsi_tools.embedding.tiles import TileReader
from wsi_tools.errors import SlideError
from wsi_tools.slide import Bounds, Channel, Layout, Level, SlideInfo
from wsi_tools.tiling import TileGrid, TileSpec

PX = 16
INFO = SlideInfo(
    path=Path("case.svs"),
    reader="openslide",
    vendor="aperio",
    levels=(Level((PX * 100, PX), 1.0),),
    resolutions=(),
    resolution=None,
    bounds=Bounds(0, 0, PX * 100, PX),
    channels=tuple(Channel(index, name, "uint8") for index, name in enumerate(("r", "g", "b"))),
    layout=Layout((PX, PX), "none"),
    objective_power=None,
    tried=(),
    warnings=(),
    fingerprint="0" * 64,
)


@dataclass
class Film:
    """What all handles on one slide share: which tiles cannot be read, and what was done."""

    damaged: set[int] = field(default_factory=set)
    stumbles: set[int] = field(default_factory=set)
    read: list[int] = field(default_factory=list)
    opened: int = 0
    closed: int = 0


class Handle:
    """A slide of a row of tiles, each of the grey that is its number; a failure breaks it."""

    def __init__(self, film):
        self.info, self.film, self.broken = INFO, film, False
        film.opened += 1

    def read(self, x, y, width, height, level):
        tile = x // PX
        self.film.read.append(tile)
        if self.broken:
            raise SlideError("a handle that failed was used again")
        if tile in self.film.damaged | self.film.stumbles:
            self.broken = True
            self.film.stumbles.discard(tile)
            raise SlideError(f"tile {tile} is damaged")
        return np.full((height, width, 3), tile, np.uint8)

    def reopen(self):
        return Handle(self.film)

    def close(self):
        self.film.closed += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def grid():
    index = np.stack([np.zeros(100), np.arange(100)], axis=1).astype(np.int32)
    return TileGrid(
        spec=TileSpec(px=PX),
        xy=index[:, ::-1] * PX,
        index=index,
        tissue=np.ones(100, np.float32),
        level=0,
        read_px=(PX, PX),
        mpp=(0.5, 0.5),
        resampled=False,
        level0_px=(PX, PX),
        step=(PX, PX),
        anchor=(0, 0),
    )


def rows(*numbers):
    return np.array(numbers)


def test_batches_come_in_the_order_of_the_plan_whatever_thread_reads_them(grid):
    plan = [rows(*range(start, start + 5)) for start in range(95, -1, -5)]
    with TileReader(Handle(Film()), grid, threads=4) as reader:
        batches = list(reader.batches(plan))
    assert [batch.rows.tolist() for batch in batches] == [each.tolist() for each in plan]
    for batch in batches:
        assert batch.pixels[:, 0, 0, 0].tolist() == batch.rows.tolist()


def test_a_tile_that_cannot_be_read_is_black_named_and_leaves_its_neighbours_whole(grid):
    film = Film(damaged={3})
    with TileReader(Handle(film), grid, threads=1) as reader:
        (batch,) = reader.batches([rows(2, 3, 4)])
    assert batch.unread == {3: "tile 3 is damaged"}
    assert batch.pixels[:, 0, 0, 0].tolist() == [2, 0, 4]


def test_a_handle_that_failed_is_closed_and_never_used_again(grid):
    film = Film(damaged={3, 7})
    with TileReader(Handle(film), grid, threads=1) as reader:
        (batch,) = reader.batches([rows(*range(10))])
        assert film.closed == 4  # two for each damaged tile, before the reader is closed
    assert sorted(batch.unread) == [3, 7]
    assert film.read == [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]


def test_a_read_that_stumbles_once_is_repeated_with_a_new_handle(grid):
    film = Film(stumbles={1})
    with TileReader(Handle(film), grid, threads=1) as reader:
        (batch,) = reader.batches([rows(0, 1, 2)])
    assert batch.unread == {}
    assert batch.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_every_handle_is_closed_at_the_end_and_each_thread_had_its_own(grid):
    film, threads_before = Film(), threading.active_count()
    with TileReader(Handle(film), grid, threads=3) as reader:
        list(reader.batches([rows(each) for each in range(60)]))
    assert 2 <= film.opened <= 4  # the slide itself, and one for each thread that had work
    assert film.closed == film.opened - 1
    assert threading.active_count() == threads_before


def test_reading_ahead_stops_two_batches_beyond_the_threads(grid):
    film = Film()
    with TileReader(Handle(film), grid, threads=2) as reader:
        batches = reader.batches([rows(each) for each in range(100)])
        next(batches)
    assert len(film.read) <= 4


def test_a_large_batch_is_shared_among_threads_and_comes_whole(grid):
    film = Film(damaged={3, 90})
    with TileReader(Handle(film), grid, threads=3) as reader:
        (batch,) = reader.batches([np.arange(100)])
    assert batch.rows.tolist() == list(range(100))
    expected = [0 if row in (3, 90) else row for row in range(100)]
    assert batch.pixels[:, 0, 0, 0].tolist() == expected
    assert list(batch.unread) == [3, 90]
    assert film.opened >= 3  # the slide itself, and more than one thread


def test_a_large_batch_is_developed_share_by_share_into_one(grid):
    seen = []

    def halved(pixels):
        seen.append(len(pixels))
        return pixels[:, ::2, ::2].astype(np.float32) / 2

    with TileReader(Handle(Film()), grid, threads=2, develop=halved) as reader:
        (batch,) = reader.batches([np.arange(20, 90)])
    assert sorted(seen) == [6, 32, 32]
    assert batch.pixels.shape == (70, PX // 2, PX // 2, 3)
    assert batch.pixels.dtype == np.float32
    assert batch.pixels[:, 0, 0, 0].tolist() == [row / 2 for row in range(20, 90)]
