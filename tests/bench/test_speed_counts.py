"""How often a slide is opened, read, decoded and written: counted, not timed."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from speed.reading import some_tiles
from speed.sizes import TINY_BACKBONE, TOY
from speed.slides import Slides
from speed.stores import begun, request

from wsi_tools.embedding import Column, EmbedOptions, fill
from wsi_tools.embedding.tiles import TileReader
from wsi_tools.preparation import Embedding, Preparation, Reading, Segmenting, Task, Tiling
from wsi_tools.slide import open_slide, openslide, tiff_planes
from wsi_tools.slide.discovery import Source
from wsi_tools.store import FeatureStore, Project, files, leased
from wsi_tools.tiling import TileSpec

SPEC = TileSpec(px=256, mpp=TOY.fine.mpp)
EMBEDDING = Embedding(((TINY_BACKBONE, "random:0"),), device="cpu", precision="fp32", readers=2)
TO_TILES = Preparation("tile", Reading("openslide"), Segmenting(), tiling=Tiling(SPEC))
TO_FEATURES = replace(TO_TILES, until="embed", embedding=EMBEDDING)


class Counts:
    """What was asked of OpenSlide and of the disk."""

    def __init__(self):
        self.opened, self.reads, self.written = 0, [], Counter()

    @property
    def pictures(self):
        """Reads of more than the one pixel that proves a level readable."""
        return [read for read in self.reads if read[2:4] != (1, 1)]


@pytest.fixture
def counts(monkeypatch):
    counts, opening, write = Counts(), openslide.OpenSlide, files.write_atomically
    read = openslide.OpenSlideReader.read

    def counted_opening(path):
        counts.opened += 1
        return opening(path)

    def counted_read(self, *box):
        counts.reads.append(box)
        return read(self, *box)

    def counted_write(path, *args, **named):
        counts.written[path] += 1
        return write(path, *args, **named)

    monkeypatch.setattr(openslide, "OpenSlide", counted_opening)
    monkeypatch.setattr(openslide.OpenSlideReader, "read", counted_read)
    for module in (files, leased):
        # the real one is called: what is counted happens
        monkeypatch.setattr(module, "write_atomically", counted_write)
    return counts


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return Slides(tmp_path_factory.mktemp("slides"), TOY, None).scan(TOY.fine)


@pytest.fixture
def task(path, tmp_path):
    return Task(Source(path, "slide"), tmp_path / "project" / "slide.zarr")


def silent(stage, done, total):
    pass


def test_tiling_opens_the_slide_once(task, counts):
    TO_TILES(task, silent)
    assert counts.opened == 1


def test_tiling_reads_each_pixel_of_one_level_once(task, counts):
    TO_TILES(task, silent)
    (level,) = {read[4] for read in counts.pictures}
    with open_slide(task.source.path) as slide:
        width, height = slide.info.levels[level].size
    assert sum(read[2] * read[3] for read in counts.pictures) == width * height


def test_embedding_reads_each_tile_once_and_nothing_else(task, counts):
    TO_TILES(task, silent)
    counts.reads.clear()
    counts.opened = 0
    TO_FEATURES(task, silent)
    grid = FeatureStore(task.store).grid(SPEC.key)
    wanted = grid.xy[grid.tissue >= SPEC.min_tissue]
    inside = [read for read in counts.pictures if read[2:] == (256, 256, 0)]
    assert len(counts.pictures) == len(wanted)
    assert len(set(counts.pictures)) == len(counts.pictures)
    assert {read[:2] for read in inside} <= set(map(tuple, wanted.tolist()))
    assert counts.opened <= 1 + EMBEDDING.readers


def test_a_second_run_reads_no_pixels_and_writes_nothing(task, counts):
    TO_FEATURES(task, silent)
    counts.reads.clear()
    counts.written.clear()
    TO_FEATURES(task, silent)
    assert counts.pictures == []
    assert not counts.written


def test_every_chunk_of_a_store_is_written_once(task, counts):
    TO_FEATURES(task, silent)
    chunks = {path: times for path, times in counts.written.items() if "c" in path.parts}
    assert chunks
    assert set(chunks.values()) == {1}


class MeanColour:
    """A backbone that costs nothing."""

    shape = (3,)

    def embed_pixels(self, pixels):
        return pixels.mean(axis=(1, 2), dtype=np.float32)


def writes_of_embedding(path, folder, tiles, counts):
    grid = some_tiles(path, TileSpec(px=24, mpp=TOY.fine.mpp), tiles)
    options = EmbedOptions(batch_size=256, readers=1, most_unread=0)
    with open_slide(path) as slide, begun(Project(folder), "slide", slide.info, grid) as writer:
        features = writer.features(grid.spec.key, "mean", request("mean"))
        features.open((tiles, 3), "float16")
        counts.written.clear()
        column, wanted = Column(MeanColour(), features), np.ones(tiles, bool)
        fill(slide, grid, [column], wanted=wanted, options=options, report=silent)
        features.commit({})
    return counts.written.total()


def test_a_further_chunk_of_tiles_is_one_further_write(path, tmp_path, counts):
    one, two = (
        writes_of_embedding(path, tmp_path / str(tiles), tiles, counts) for tiles in (1024, 2048)
    )
    assert two == one + 1


@pytest.mark.parametrize("threads", [1, 2])
def test_in_raster_order_each_jpeg_tile_is_decoded_once(path, monkeypatch, threads):
    decoded, load = Counter(), tiff_planes._JpegPlane.load

    def counted(plane, column, row):
        decoded[column, *plane.band(row)] += 1
        return load(plane, column, row)

    # the real one is called: what is counted happens
    monkeypatch.setattr(tiff_planes._JpegPlane, "load", counted)
    grid = some_tiles(path, SPEC, 1000)
    with open_slide(path) as slide, TileReader(slide, grid, threads=threads) as reader:
        assert slide.info.reader == "tiff"
        decoded.clear()
        for _ in reader.batches(np.array_split(np.arange(len(grid)), 4)):
            pass
    assert len(decoded) > 3 * TOY.fine.size_px[0] // TOY.fine.tile_px
    assert set(decoded.values()) == {1}
