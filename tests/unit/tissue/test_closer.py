from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile

from wsi_tools.slide import open_slide, tiff_planes
from wsi_tools.tissue import TissueOptions, segment
from wsi_tools.tissue.closer import look_closer
from wsi_tools.tissue.options import HE
from wsi_tools.tissue.picture import read_picture
from wsi_tools.tissue.stain import Absorbance, judged

GLASS, EOSIN, INK = (242, 240, 243), (225, 150, 200), (20, 95, 60)
MPP = 8.0


def halved(pixels: np.ndarray) -> np.ndarray:
    height, width, _ = pixels.shape
    return pixels.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3)).astype(np.uint8)


@pytest.fixture
def slide_of(tmp_path):
    """Write pixels of 4 µm as an Aperio-like pyramid of JPEG tiles of three levels and open it.

    Level 0 is there to be left alone: the next two, of 4 and 8 µm, are those that tissue needs.
    """

    def write(pixels: np.ndarray) -> Path:
        path = tmp_path / "case.tiff"
        how = {
            "photometric": "rgb", "subsampling": (2, 2), "tile": (128, 128),
            "compression": "jpeg", "compressionargs": {"level": 85}, "metadata": None,
            "resolutionunit": "CENTIMETER",
        }  # fmt: skip
        with tifffile.TiffWriter(path) as tiff:
            finest = pixels.repeat(2, axis=0).repeat(2, axis=1)
            for number, level in enumerate((finest, pixels, halved(pixels))):
                per_cm = 10_000 / (2 * 2**number)
                tiff.write(level, resolution=(per_cm, per_cm), subfiletype=int(number > 0), **how)
        return path

    return write


@pytest.fixture
def decoded(monkeypatch):
    """How often each tile is decoded, by column and band."""
    decoded, load = Counter(), tiff_planes._JpegPlane.load

    def counted(plane, column, row):
        decoded[column, *plane.band(row)] += 1
        return load(plane, column, row)

    # the real one is called: what is counted happens
    monkeypatch.setattr(tiff_planes._JpegPlane, "load", counted)
    return decoded


def section() -> np.ndarray:
    """A square of tissue on glass, 1536 × 1536 pixels of 4 µm."""
    pixels = np.full((1536, 1536, 3), GLASS, np.uint8)
    pixels[200:1300, 200:1300] = EOSIN
    return pixels


def test_a_slide_without_ink_is_looked_at_once(slide_of, decoded):
    with open_slide(slide_of(section())) as slide:
        picture = read_picture(slide, MPP)
        before = picture.pixels.copy()
        decoded.clear()
        foreign = look_closer(slide, picture, HE)
    assert (picture.level, picture.finer) == (2, 1)
    assert np.array_equal(picture.pixels, before)
    assert not foreign.any()
    assert not decoded


def test_a_rim_that_has_lost_the_colour_of_ink_is_ink_at_the_finer_level(slide_of):
    pixels = section()
    pixels[100:1400, 703:707] = INK  # of 8 µm half of a pixel, the next, and half of the last
    with open_slide(slide_of(pixels)) as slide:
        picture = read_picture(slide, MPP)
        before = picture.pixels.copy()
        foreign = look_closer(slide, picture, HE)
    _, at_first = judged(Absorbance.of(before), HE)
    assert at_first[110:640, 351:354].mean(axis=0).tolist() == [0, 1, 1]
    assert foreign[110:640, 351:354].mean(axis=0).tolist() == [1, 1, 1]
    assert np.array_equal(picture.pixels[:, :250], before[:, :250])


def test_the_finer_level_is_read_only_about_ink_and_each_tile_once(slide_of, decoded):
    pixels = section()
    pixels[600:606, 300:1200] = INK
    with open_slide(slide_of(pixels)) as slide:
        picture = read_picture(slide, MPP)
        decoded.clear()
        look_closer(slide, picture, HE)
    assert 0 < len(decoded) <= 3 * 12
    assert set(decoded.values()) == {1}


def test_a_stroke_over_tissue_and_glass_is_no_tissue(slide_of):
    pixels = section()
    pixels[600:606, 20:1500] = INK
    pixels[20:1500, 100:106] = INK
    with open_slide(slide_of(pixels)) as slide:
        tissue = segment(slide, TissueOptions(min_area_um2=0.0))
    assert tissue.mask[301:302, 30:740].mean() < 0.05
    assert not tissue.mask[:, :60].any()
    assert tissue.mask[150:250, 150:600].all()


def test_stray_pixels_of_another_colour_are_no_ink(slide_of):
    pixels = section()
    pixels[300:1200:200, 300:1200:200] = INK
    with open_slide(slide_of(pixels)) as slide:
        picture = read_picture(slide, MPP)
        assert not look_closer(slide, picture, HE).any()


def test_where_no_level_is_finer_ink_is_judged_in_the_picture(slide_of):
    pixels = section()
    pixels[600:612, 300:1200] = INK
    with open_slide(slide_of(pixels)) as slide:
        picture = read_picture(slide, 2 * MPP)
        before = picture.pixels.copy()
        foreign = look_closer(slide, picture, HE)
    assert picture.finer is None
    assert np.array_equal(picture.pixels, before)
    assert foreign[151:152, 80:290].all()
