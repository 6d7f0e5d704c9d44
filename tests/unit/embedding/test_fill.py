"""Rows of features from the tiles of a grid: what is computed, in which order, and what is not."""

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from wsi_tools.embedding import Column, EmbedOptions, fill
from wsi_tools.errors import InterruptedRunError, SlideError
from wsi_tools.slide import open_slide
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import PRESETS, segment


@dataclass
class MeanColour:
    """A backbone whose three features are a tile's mean colour; notes what it was given."""

    shape: tuple = (3,)

    def __post_init__(self):
        self.sizes = []

    def embed_pixels(self, pixels):
        self.sizes.append(len(pixels))
        return torch.from_numpy(pixels).float().mean((1, 2)).numpy()


class Rows:
    """Where features go: a list of chunks in memory."""

    def __init__(self):
        self.chunks, self.bad = [], []

    def append(self, start, rows):
        self.chunks.append((start, rows))

    def mark_invalid(self, rows):
        self.bad.extend(rows.tolist())


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A plain picture of 800 × 800 px at 0.5 µm/px in 2500 tiles of 16 px, and their pixels."""
    pixels = np.random.default_rng(3).integers(0, 200, (800, 800, 3), np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(path)
    with open_slide(path, mpp_override=0.5) as slide:
        whole = segment(slide, replace(PRESETS["he"], method="none"))
        yield slide, tile(slide.info, whole, TileSpec(px=16, mpp=0.5)), pixels


def silent(stage, done, total):
    pass


OPTIONS = EmbedOptions(batch_size=100, readers=2, most_unread=0)


def test_rows_are_those_of_their_tiles_and_zeros_where_none_is_wanted(photo):
    slide, grid, pixels = photo
    wanted = np.ones(len(grid), bool)
    wanted[::7] = False
    rows = Rows()
    spent = fill(slide, grid, [Column(MeanColour(), rows)], wanted=wanted, options=OPTIONS,
                 report=silent)  # fmt: skip
    tiles = pixels.reshape(50, 16, 50, 16, 3).swapaxes(1, 2).reshape(2500, 16, 16, 3)
    expected = np.where(wanted[:, None], tiles.mean((1, 2)), 0)
    stored = np.concatenate([chunk for _, chunk in rows.chunks])
    np.testing.assert_allclose(stored, expected, rtol=1e-5)
    assert spent.tiles == wanted.sum()


def test_the_time_of_reading_threads_is_told_apart_from_what_they_make_of_pixels(photo):
    slide, grid, _ = photo

    def slowly(pixels):
        time.sleep(0.02)
        return pixels

    options = replace(OPTIONS, develop=slowly)
    spent = fill(slide, grid, [Column(MeanColour(), Rows())], wanted=np.ones(2500, bool),
                 options=options, report=silent)  # fmt: skip
    assert spent.resizing >= 27 * 0.02  # batches
    assert spent.reading > 0
    assert list(spent.seconds()) == [
        "elapsed", "reading", "resizing", "waiting", "computing", "writing",
    ]  # fmt: skip


def test_lanes_that_have_nothing_to_compute_on_are_waiting(photo):
    slide, grid, _ = photo

    class Slow(MeanColour):
        def embed_pixels(self, pixels):
            time.sleep(0.02)
            return super().embed_pixels(pixels)

    def filled(backbone, **how):
        return fill(slide, grid, [Column(backbone, Rows())], wanted=np.ones(2500, bool),
                    options=replace(OPTIONS, lanes=2, **how), report=silent)  # fmt: skip

    busy = filled(Slow())
    idle = filled(MeanColour(), develop=lambda pixels: (time.sleep(0.02), pixels)[1])
    assert busy.computing >= 27 * 0.02  # batches
    assert busy.waiting < busy.computing
    assert idle.waiting > idle.computing


def test_lanes_give_columns_that_are_not_as_far_their_own_rows(photo):
    slide, grid, pixels = photo
    left, right = Rows(), Rows()
    columns = [Column(MeanColour(), left, done=2048), Column(MeanColour(), right, done=1024)]
    fill(slide, grid, columns, wanted=np.ones(2500, bool), options=replace(OPTIONS, lanes=3),
         report=silent)  # fmt: skip
    tiles = pixels.reshape(50, 16, 50, 16, 3).swapaxes(1, 2).reshape(2500, 16, 16, 3)
    for rows, done in ((left, 2048), (right, 1024)):
        assert rows.chunks[0][0] == done
        stored = np.concatenate([chunk for _, chunk in rows.chunks])
        np.testing.assert_allclose(stored, tiles[done:].mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("tiles", "expected"), [(250, 3), (2500, 4)])
def test_there_are_no_more_lanes_than_batches(photo, tiles, expected):
    slide, grid, _ = photo
    told = []
    fill(slide, grid, [Column(MeanColour(), Rows())], wanted=np.arange(2500) < tiles,
         options=replace(OPTIONS, lanes=4, begin_lane=told.append), report=silent)  # fmt: skip
    assert set(told) == {expected}


def test_rows_are_the_same_whichever_lane_computes_them(photo):
    slide, grid, _ = photo

    class Unsteady(MeanColour):
        def embed_pixels(self, pixels):
            time.sleep(float(pixels[0, 0, 0, 0]) % 7 / 1000)
            return super().embed_pixels(pixels)

    stored = []
    for lanes in (1, 3):
        rows = Rows()
        fill(slide, grid, [Column(Unsteady(), rows)], wanted=np.ones(2500, bool),
             options=replace(OPTIONS, lanes=lanes), report=silent)  # fmt: skip
        stored.append(rows.chunks)
    for (start, alone), (other, side_by_side) in zip(*stored, strict=True):
        assert start == other
        assert np.array_equal(alone, side_by_side)


def test_chunks_are_written_in_order_and_batches_end_where_they_end(photo):
    slide, grid, _ = photo
    backbone, rows = MeanColour(), Rows()
    fill(slide, grid, [Column(backbone, rows)], wanted=np.ones(2500, bool), options=OPTIONS,
         report=silent)  # fmt: skip
    assert [(start, len(chunk)) for start, chunk in rows.chunks] == [
        (0, 1024), (1024, 1024), (2048, 452),
    ]  # fmt: skip
    assert backbone.sizes == [*[100] * 10, 24, *[100] * 10, 24, *[100] * 4, 52]


def test_a_column_goes_on_from_its_own_chunk_with_the_same_batches(photo):
    slide, grid, _ = photo
    begun, new = MeanColour(), MeanColour()
    left, right = Rows(), Rows()
    columns = [Column(begun, left, done=2048), Column(new, right, done=1024)]
    fill(slide, grid, columns, wanted=np.ones(2500, bool), options=OPTIONS, report=silent)
    assert [start for start, _ in left.chunks] == [2048]
    assert [start for start, _ in right.chunks] == [1024, 2048]
    assert begun.sizes == [*[100] * 4, 52]


def test_a_stop_keeps_whole_chunks_alone(photo):
    slide, grid, _ = photo
    rows = Rows()

    def report(stage, done, total):
        if done > 1500:
            raise InterruptedRunError("stop")

    with pytest.raises(InterruptedRunError):
        fill(slide, grid, [Column(MeanColour(), rows)], wanted=np.ones(2500, bool),
             options=OPTIONS, report=report)  # fmt: skip
    assert [start for start, _ in rows.chunks] == [0]


@pytest.mark.parametrize(("most", "fails"), [(2, False), (1, True)])
def test_more_unreadable_tiles_than_allowed_fail_the_slide(photo, monkeypatch, most, fails):
    slide, grid, _ = photo
    rows, options = Rows(), EmbedOptions(batch_size=100, readers=1, most_unread=most)
    damaged = {tuple(grid.xy[row].tolist()) for row in (1500, 2499)}
    handle = type(slide)
    decode = handle.read

    def read(self, x, y, width, height, level):
        if (x, y) in damaged:
            raise SlideError("damaged")
        return decode(self, x, y, width, height, level)

    monkeypatch.setattr(handle, "read", read)
    run = {"wanted": np.ones(2500, bool), "options": options, "report": silent}
    if fails:
        with pytest.raises(SlideError, match=r"photo.png: 2 tiles could not be read \(tile 1500"):
            fill(slide, grid, [Column(MeanColour(), rows)], **run)
    else:
        assert sorted(fill(slide, grid, [Column(MeanColour(), rows)], **run).unread) == [1500, 2499]
        assert rows.bad == [1500, 2499]
