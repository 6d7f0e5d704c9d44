"""The direct reader: OpenSlide's pixels with each tile decoded once."""

import errno
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import openslide
import pytest
import tifffile

from wsi_tools.errors import InputError, SlideError
from wsi_tools.slide import open_slide
from wsi_tools.slide.direct import TiffReader
from wsi_tools.slide.jpeg_tiles import jpeg_tiles
from wsi_tools.slide.tiff_planes import _JpegPlane

APERIO = "Aperio Image Library v1\n300x200 (64x64) J2K/RGB Q=90|AppMag = 20|MPP = 0.5"
TEXTURE = np.random.default_rng(5).integers(0, 256, (25, 38, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def write(path, pixels=TEXTURE, **how):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, photometric="rgb", tile=(64, 64), metadata=None, **how)
    return path


@pytest.fixture
def decoded(monkeypatch):
    """How often each tile was decoded."""
    counts = Counter()
    real = _JpegPlane.load

    def counted(plane, column, row):
        counts[column, *plane.band(row)] += 1
        return real(plane, column, row)

    monkeypatch.setattr(_JpegPlane, "load", counted)
    return counts


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "jpeg", "webp"])
def test_a_rectangle_is_a_crop_whatever_the_codec(tmp_path, compression):
    path = write(tmp_path / "a.tiff", compression=compression)
    whole = tifffile.imread(path)
    with open_slide(path) as slide:
        assert slide.info.reader == "tiff"
        for x, y, width, height in ((0, 0, 304, 200), (63, 64, 2, 1), (130, 7, 100, 190)):
            crop = whole[y : y + height, x : x + width]
            assert np.array_equal(slide.read(x, y, width, height, 0), crop)


def test_jpeg_2000_of_aperio_is_openslides_to_the_bit(tmp_path):
    how = {"compression": 33005, "compressionargs": {"level": 60}, "description": APERIO}
    path = write(tmp_path / "a.svs", **how)
    with open_slide(path) as slide, openslide.OpenSlide(path) as beneath:
        assert slide.info.reader == "tiff"
        expected = np.asarray(beneath.read_region((0, 0), 0, (304, 200)).convert("RGB"))
        assert np.array_equal(slide.read(0, 0, 304, 200, 0), expected)


def test_rows_of_tiles_decode_each_tile_once_through_any_number_of_handles(test_data, decoded):
    path = test_data / "slides/cmu-1-small-region.svs"
    with open_slide(path, reader="tiff") as slide, slide.reopen() as other:
        handles = (slide, other)
        decoded.clear()  # opening looks at one pixel
        for y in range(0, 2967, 256):
            for index, x in enumerate(range(0, 2220, 256)):
                handles[index % 2].read(x, y, 256, 256, 0)
    assert len(decoded) == 13 * 10 - 1  # the one that opening decoded
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_file_is_closed_with_the_last_of_its_handles(test_data, order):
    slide = open_slide(test_data / "slides/cmu-1-small-region.svs", reader="tiff")
    handles = slide, slide.reopen()
    file = slide._reader._file.tiff.filehandle
    handles[order[0]].close()
    assert handles[order[1]].read(700, 900, 50, 40, 0).shape == (40, 50, 3)
    assert not file.closed
    handles[order[1]].close()
    assert file.closed


def test_threads_read_the_same_pixels_as_one(test_data):
    path = test_data / "slides/cmu-1-small-region.svs"
    boxes = [(x, y, 300, 300, 0) for y in range(0, 2600, 300) for x in range(0, 1900, 300)]
    with open_slide(path) as slide, slide.reopen() as other, ThreadPoolExecutor(2) as threads:
        alone = [slide.read(*box) for box in boxes]
        handles = (slide, other)
        read = threads.map(lambda i: handles[i % 2].read(*boxes[i]), range(len(boxes)))
        assert all(np.array_equal(one, two) for one, two in zip(alone, read, strict=True))


def test_a_file_that_leaves_tiles_out_is_openslides(tmp_path):
    path = write(tmp_path / "a.tiff")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    with open_slide(path) as slide:
        assert slide.info.reader != "tiff"
        assert dict(slide.info.tried)["tiff"] == "some tiles are left out, which OpenSlide fills"


def test_a_tile_beyond_the_end_of_the_file_is_found_on_opening(tmp_path):
    path = write(tmp_path / "a.tiff", compression="webp")  # OpenSlide finds it in the others
    with tifffile.TiffFile(path) as tiff:
        last = max(tiff.pages[0].dataoffsets)
    path.write_bytes(path.read_bytes()[: last + 10])
    with pytest.raises(SlideError, match=r"the file ends [0-9,]+ bytes too early"):
        TiffReader(path)


@pytest.mark.parametrize("photometric", ["ycbcr", "cielab"])
def test_colours_that_need_turning_are_left_to_others(tmp_path, photometric):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, TEXTURE, photometric=photometric, tile=(64, 64), compression="zlib")
    with pytest.raises(SlideError, match="of which only OpenSlide knows the colours"):
        TiffReader(path)


def test_a_pyramid_that_only_openslide_sees_is_read(tmp_path):
    path = tmp_path / "a.tiff"
    small = np.ascontiguousarray(TEXTURE[::16, ::16])
    with tifffile.TiffWriter(path) as tiff:
        how = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
        tiff.write(TEXTURE, **how)
        tiff.write(small, subfiletype=1, **how)
    with open_slide(path) as slide:
        assert slide.info.reader == "tiff"
        assert [level.size for level in slide.info.levels] == [(304, 200), (19, 13)]
        assert np.array_equal(slide.read(0, 0, 19, 13, 1), small)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_smaller_decoding_is_near_to_the_mean_of_the_pixels(test_data, factor):
    with open_slide(test_data / "slides/cmu-1-small-region.svs") as slide:
        with slide.shrunk(factor) as small:
            found = small.read(10, 20, 240 // factor, 480 // factor, 0).astype(float)
        assert small.info.size == (-(-2220 // factor), -(-2967 // factor))
        assert small.info.levels[0].downsample == factor
        whole = slide.read(10 * factor, 20 * factor, 240, 480, 0)
    blocks = whole.reshape(480 // factor, factor, 240 // factor, factor, 3)
    noise = np.square(found - blocks.mean(axis=(1, 3))).mean()
    assert 10 * np.log10(255**2 / noise) > 40  # dB


def test_handles_on_a_smaller_decoding_decode_each_tile_once(test_data, decoded):
    with (
        open_slide(test_data / "slides/cmu-1-small-region.svs") as slide,
        slide.shrunk(2) as small,
        small.reopen() as other,
    ):
        decoded.clear()
        first, second = small.read(0, 0, 600, 100, 0), other.read(0, 0, 600, 100, 0)
        assert np.array_equal(first, second)
    assert set(decoded.values()) == {1}
    assert len(decoded) == 5  # of 120 px


@pytest.mark.parametrize("factor", [1, 2])
def test_after_a_read_that_failed_the_file_is_opened_once_more(
    tmp_path, monkeypatch, decoded, factor
):
    path = write(tmp_path / "a.tiff", compression="jpeg")
    opened, opening = [], tifffile.TiffFile

    def counted(path):
        opened.append(path)
        return opening(path)

    def stumble(*_):
        raise OSError(errno.ESTALE, "stale file handle")

    with open_slide(path) as slide, slide if factor == 1 else slide.shrunk(factor) as handle:
        monkeypatch.setattr(tifffile, "TiffFile", counted)  # the real one is called
        with handle.reopen() as shared:
            expected = shared.read(0, 0, 40, 40, 0)
        assert not opened
        with monkeypatch.context() as broken:
            broken.setattr(os, "pread", stumble)
            with pytest.raises(SlideError, match="stale file handle"):
                handle.read(handle.info.size[0] - 8, handle.info.size[1] - 8, 8, 8, 0)
        with handle.reopen() as again:
            assert opened == [path]
            decoded.clear()
            assert np.array_equal(again.read(0, 0, 40, 40, 0), expected)
            assert not decoded  # what was decoded before is shared all the same


def test_what_is_no_jpeg_is_not_decoded_smaller(tmp_path):
    with open_slide(write(tmp_path / "a.tiff", compression="lzw")) as slide:
        assert not slide.shrinks(2)
        with pytest.raises(InputError, match="is not of JPEG tiles decoded at 1/2"):
            slide.shrunk(2)


def test_a_smaller_decoding_is_no_coarser_than_a_block(tmp_path):
    with open_slide(write(tmp_path / "a.tiff", compression="jpeg")) as slide:
        assert [slide.shrinks(factor) for factor in (1, 2, 3, 4, 8, 16)] == [
            False, True, False, True, True, False
        ]  # fmt: skip
        with slide.shrunk(2) as small:
            assert not small.shrinks(2)


def test_a_tile_with_a_marker_its_page_does_not_expect_is_left_to_tifffile(tmp_path):
    path = write(tmp_path / "a.tiff", compression="jpeg")  # YCbCr, with tables of its own
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        stored = path.read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]]
        tiles = jpeg_tiles(page)
    marked = replace(tiles, is_marked=True)
    adobe = stored[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\0" + stored[2:]
    assert tiles.decoded(stored).shape == (64, 64, 3)
    assert marked.decoded(adobe) is None
    assert tiles.decoded(stored[: len(stored) // 2]) is None  # cut short
