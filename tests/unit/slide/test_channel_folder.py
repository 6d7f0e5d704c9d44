"""A folder of single-channel files as one slide: its channels, and folders that are none."""

import numpy as np
import pytest
import tifffile

from wsi_tools.errors import SlideError
from wsi_tools.slide import open_slide
from wsi_tools.slide.discovery import discover

PLANES = np.random.default_rng(5).integers(0, 60_000, (3, 120, 90)).astype("uint16")
NAMES = ["CD3", "CD8", "NaK ATPase"]


def folder(path, planes=PLANES, names=NAMES, **options):
    path.mkdir(exist_ok=True)
    for name, plane in zip(names, planes, strict=True):
        tifffile.imwrite(path / f"{name}.tif", plane, **options)
    return path


def planes_of(slide):
    return slide.read(0, 0, *slide.info.size, 0).transpose(2, 0, 1)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "rowsperstrip": 16}, {"tile": (32, 32)}], ids=str
)
def test_each_file_is_a_channel_called_by_its_stem(tmp_path, options):
    with open_slide(folder(tmp_path / "fov", **options)) as slide:
        assert slide.info.reader == "channel-folder"
        assert [channel.name for channel in slide.info.channels] == NAMES
        assert np.array_equal(planes_of(slide), PLANES)
        with slide.only([2, 0]) as two, two.reopen() as again:
            assert np.array_equal(planes_of(two), PLANES[[2, 0]])
            assert np.array_equal(planes_of(again), PLANES[[2, 0]])
        assert slide.info.warnings == ("a folder of 3 single-channel files, read as one slide",)


def test_it_is_one_input_if_it_is_named_and_looked_into_otherwise(tmp_path):
    path = folder(tmp_path / "fov")
    assert [source.slide_id for source in discover([path]).sources] == ["fov"]
    assert discover([tmp_path]).sources == ()


def test_a_folder_with_anything_else_in_it_is_a_folder_of_slides(tmp_path):
    path = folder(tmp_path / "fov")
    tifffile.imwrite(path / "he.tif", np.zeros((90, 90, 3), np.uint8), photometric="rgb")
    assert len(discover([path]).sources) == 4
    lone = folder(tmp_path / "one", PLANES[:1], NAMES[:1])
    assert [source.slide_id for source in discover([lone]).sources] == ["CD3"]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (PLANES[0, :100], "CD3.tif is 90 × 120 of uint16 and odd.tif is 90 × 100 of uint16"),
        (PLANES[0].astype("uint8"), "odd.tif is 90 × 120 of uint8"),
    ],
)
def test_planes_that_differ_in_size_or_depth_are_refused(tmp_path, odd, said):
    path = folder(tmp_path / "fov")
    tifffile.imwrite(path / "odd.tif", odd)
    with pytest.raises(SlideError, match=said):
        open_slide(path)


def test_a_file_that_is_cut_short_names_its_channel(tmp_path):
    path = folder(tmp_path / "fov")
    length = (path / "CD8.tif").stat().st_size
    with (path / "CD8.tif").open("r+b") as stream:
        stream.truncate(length - 500)
    with pytest.raises(SlideError, match="channel CD8: the file ends 500 bytes too early"):
        open_slide(path)


def fingerprint_of(path):
    with open_slide(path) as slide:
        return slide.info.fingerprint


def test_the_fingerprint_is_of_the_files_and_not_of_the_place(tmp_path):
    one = fingerprint_of(folder(tmp_path / "one"))
    assert one == fingerprint_of(folder(tmp_path / "two"))
    changed = PLANES.copy()
    changed[1, 60, 60] += 1
    assert one != fingerprint_of(folder(tmp_path / "one", changed))
