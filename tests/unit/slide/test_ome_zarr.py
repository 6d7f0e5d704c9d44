"""OME-Zarr written here by zarr: pixels against the array, and what the metadata say."""

import json
import shutil

import numpy as np
import pytest
import zarr

from wsi_tools.errors import SlideError
from wsi_tools.slide import open_slide

PLANES = np.random.default_rng(3).integers(0, 60_000, (3, 201, 333)).astype("uint16")
LABELS = ["DAPI", "CD8", "CD3"]
UM = "micrometer"


def write(path, version, *, pixels=PLANES, axes="cyx", chunks=(1, 64, 64), unit=UM, levels=2):
    """A pyramid of every second pixel, 0.5 by 0.25 of the unit."""
    newer = version == "0.5"
    group = zarr.open_group(path, mode="w", zarr_format=3 if newer else 2)
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "axes": [
            {"name": axis, "type": kinds.get(axis, "space")}
            | ({"unit": unit} if axis in "xy" and unit else {})
            for axis in axes
        ],
        "datasets": [_dataset(axes, level) for level in range(levels)],
    }
    picture = {
        "multiscales": [multiscale if newer else {**multiscale, "version": version}],
        "omero": {"channels": [{"label": name} for name in LABELS]},
    }
    group.attrs.update({"ome": {"version": version, **picture}} if newer else picture)
    for level in range(levels):
        reduced = pixels[..., :: 2**level, :: 2**level]
        array = group.create_array(
            f"s{level}", shape=reduced.shape, dtype=reduced.dtype, chunks=chunks
        )
        array[:] = reduced
    return path


def _dataset(axes, level):
    scale = [{"x": 0.5 * 2**level, "y": 0.25 * 2**level}.get(axis, 1.0) for axis in axes]
    return {
        "path": f"s{level}",
        "coordinateTransformations": [{"type": "scale", "scale": scale}],
    }


def planes_of(slide, level=0):
    return slide.read(0, 0, *slide.info.levels[level].size, level).transpose(2, 0, 1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("chunks", [(1, 64, 64), (3, 50, 100), (2, 201, 333)])
def test_every_level_and_any_rectangle_are_what_was_written(tmp_path, version, chunks):
    path = write(tmp_path / "a.ome.zarr", version, chunks=chunks)
    with open_slide(path) as slide:
        assert slide.info.reader == "ome-zarr"
        assert [level.size for level in slide.info.levels] == [(333, 201), (167, 101)]
        assert [channel.name for channel in slide.info.channels] == LABELS
        assert slide.info.mpp == (0.5, 0.25)
        for level in range(2):
            assert np.array_equal(planes_of(slide, level), PLANES[:, :: 2**level, :: 2**level])
        with slide.only([2, 0]) as two:
            found = two.read(290, 150, 80, 90, 0).transpose(2, 0, 1)
        assert np.array_equal(found[:, :51, :43], PLANES[[2, 0], 150:201, 290:333])
        assert not found[:, 51:].any()
        assert not found[:, :, 43:].any()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_of_a_stack_the_middle_plane_and_the_first_time_point_are_shown(tmp_path, version):
    stack = np.random.default_rng(4).random((2, 3, 4, 50, 60)).astype("float32")
    path = write(
        tmp_path / "a.zarr", version, pixels=stack, axes="tczyx", chunks=(1, 2, 2, 32, 32), levels=1
    )
    with open_slide(path) as slide:
        assert np.array_equal(planes_of(slide), stack[0, :, 2])
        assert "4 z planes; plane 2, the middle one, is shown" in slide.info.warnings


def test_a_size_without_a_unit_is_none_and_a_unit_is_converted(tmp_path):
    with open_slide(write(tmp_path / "a.zarr", "0.4", unit="")) as slide:
        assert slide.info.resolutions == ()
    with open_slide(write(tmp_path / "b.zarr", "0.5", unit="nanometer")) as slide:
        assert slide.info.resolutions[0].mpp_x == 0.0005


def test_a_converted_file_with_several_pictures_shows_the_first(tmp_path):
    inner = write(tmp_path / "inner.zarr", "0.4")
    outer = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    outer.attrs["bioformats2raw.layout"] = 3
    shutil.move(inner, tmp_path / "a.zarr" / "0")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert np.array_equal(planes_of(slide), PLANES)


def test_a_chunk_that_is_not_there_is_zero_and_a_damaged_one_names_its_channel(tmp_path):
    path = write(tmp_path / "a.zarr", "0.5", levels=1)
    (path / "s0/c/1/0/0").unlink()
    (path / "s0/c/2/3/5").write_bytes(b"torn")
    with open_slide(path) as slide:
        assert not slide.read(0, 0, 64, 64, 0)[..., 1].any()
        with pytest.raises(SlideError, match=r"a\.zarr: ome-zarr cannot decode .* \(channel CD3: "):
            slide.read(322, 195, 10, 5, 0)


def test_a_group_without_its_arrays_and_a_strange_axis_are_refused(tmp_path):
    path = write(tmp_path / "a.zarr", "0.5")
    shutil.rmtree(path / "s1")
    with pytest.raises(SlideError, match=r"a\.zarr: no reader could open it"):
        open_slide(path)
    with pytest.raises(SlideError, match="its axes are 'qyx'"):
        open_slide(write(tmp_path / "b.zarr", "0.5", axes="qyx"))


def test_a_chunk_of_more_pixels_than_fit_is_refused_unread(tmp_path):
    path = write(tmp_path / "a.zarr", "0.5", levels=1)
    array = json.loads((path / "s0/zarr.json").read_text())
    array["chunk_grid"]["configuration"]["chunk_shape"] = [1000, 1000, 1000]
    (path / "s0/zarr.json").write_text(json.dumps(array))
    with pytest.raises(SlideError, match="claims 1000 × 1000000 pixels per chunk"):
        open_slide(path)
