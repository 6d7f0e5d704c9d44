"""Slides split into their markers: every value, what the files say, and what is refused."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import openslide
import pytest
import tifffile
import zarr
from tiffslide import TiffSlide

from wsi_tools.channels import Marker, Normalization, Panel, Statistics
from wsi_tools.errors import DataError, InputError, InterruptedRunError, SlideError, StoreError
from wsi_tools.slide import open_slide
from wsi_tools.splitting import SplitRequest, Splitting

MARKERS = ("DAPI", "CD8", "AF")
PLANES = np.random.default_rng(8).integers(0, 60_000, (3, 700, 1301)).astype("uint16")
FORMS = pytest.mark.parametrize("form", ["ome-zarr", "ome-tiff"])


@pytest.fixture
def slide_path(tmp_path):
    path = tmp_path / "a.ome.tiff"
    write_slide(path, PLANES)
    return path


def write_slide(path, planes, names=MARKERS):
    metadata = {
        "axes": "CYX", "Channel": {"Name": list(names)}, "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm",
        "Plane": {"ExposureTime": [30.0, 20.0, 10.0][: len(names)],
                  "ExposureTimeUnit": ["ms"] * len(names)},
    }  # fmt: skip
    tifffile.imwrite(path, planes, tile=(256, 256), photometric="minisblack", metadata=metadata)


@contextmanager
def opened(task):
    with open_slide(task.path) as slide:
        yield slide


def quiet(stage, done, total):
    """No supervisor listens."""


def split(path, out, report=quiet, measured=None, overwrite=False, dry_run=False, **asked):
    work = Splitting(
        opened, SplitRequest(**asked), measured, overwrite=overwrite, dry_run=dry_run, version="1"
    )
    out.mkdir(exist_ok=True)
    return work(SimpleNamespace(slide_id="a", path=path, store=out / "a.zarr"), report)


def plane(folder, file):
    """Level 0 through our own reader, and what it says."""
    with open_slide(folder / file) as slide:
        return slide.read(0, 0, *slide.info.size, 0)[..., 0], slide.info


@FORMS
def test_each_file_is_the_plane_of_its_name_to_the_bit_with_its_pixel_size(
    tmp_path, slide_path, form
):
    made = split(slide_path, tmp_path / "out", form=form)
    assert sorted(made.files) == sorted(MARKERS)
    assert made.levels == 3
    for place, name in enumerate(MARKERS):
        pixels, info = plane(tmp_path / "out/a", made.files[name])
        assert np.array_equal(pixels, PLANES[place])
        assert [channel.name for channel in info.channels] == [name]
        assert info.mpp == (0.5, 0.25)
        assert [level.size for level in info.levels] == [(1301, 700), (650, 350), (325, 175)]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@FORMS
def test_the_files_depth_is_kept(tmp_path, form, dtype):
    planes = (PLANES / 251).astype(dtype)
    write_slide(tmp_path / "b.ome.tiff", planes)
    made = split(tmp_path / "b.ome.tiff", tmp_path / "out", form=form, names=("CD8",))
    assert list(made.files) == ["CD8"]
    pixels, _ = plane(tmp_path / "out/a", made.files["CD8"])
    assert pixels.dtype == dtype
    assert np.array_equal(pixels, planes[1])


def test_lower_levels_are_the_same_in_both_formats(tmp_path, slide_path):
    zarr_files = split(slide_path, tmp_path / "z").files
    tiff_files = split(slide_path, tmp_path / "t", form="ome-tiff").files
    for name in MARKERS:
        group = zarr.open_group(tmp_path / "z/a" / zarr_files[name], mode="r")
        with tifffile.TiffFile(tmp_path / "t/a" / tiff_files[name]) as tiff:
            levels = tiff.series[0].levels
            assert len(levels) == 3
            for place, level in enumerate(levels):
                assert np.array_equal(group[str(place)][0], level.asarray())


def test_the_background_is_subtracted_by_its_exposure_or_as_stated(tmp_path, slide_path):
    wide = PLANES.astype(np.float32)
    for scale, factor in ((None, 2.0), (0.5, 0.5)):  # 20 ms over 10 ms
        made = split(slide_path, tmp_path / f"out{factor}", background=("AF", scale))
        assert sorted(made.files) == ["CD8", "DAPI"]
        pixels, _ = plane(tmp_path / f"out{factor}/a", "CD8.ome.zarr")
        assert pixels.dtype == np.uint16
        wanted = np.floor(np.maximum(wide[1] - factor * wide[2], 0) + 0.5)
        assert np.array_equal(pixels, wanted)
    named = split(slide_path, tmp_path / "named", background=("AF", 1.0), names=("AF", "CD8"))
    assert sorted(named.files) == ["AF", "CD8"]
    assert np.array_equal(plane(tmp_path / "named/a", "AF.ome.zarr")[0], PLANES[2])


def test_shares_of_a_range_fill_the_range_of_the_dtype(tmp_path, slide_path):
    panel = Panel((Marker("CD8", low=1_000, high=21_000),))
    fixed = {"panel": panel, "normalization": Normalization("fixed")}
    share = np.clip((PLANES[1].astype(np.float64) - 1_000) / 20_000, 0, 1)
    split(slide_path, tmp_path / "keep", **fixed)
    split(slide_path, tmp_path / "byte", dtype="uint8", **fixed)
    split(slide_path, tmp_path / "all", dtype="uint8", panel=panel)
    wide, _ = plane(tmp_path / "keep/a", "CD8.ome.zarr")
    byte, _ = plane(tmp_path / "byte/a", "CD8.ome.zarr")
    whole, _ = plane(tmp_path / "all/a", "CD8.ome.zarr")
    assert np.abs(wide - share * 65_535).max() <= 0.51  # float32 shares
    assert np.abs(byte - share * 255).max() <= 0.501
    assert np.abs(whole - PLANES[1] / 257).max() <= 0.501


def test_a_measured_scale_is_taken_from_whoever_measures(tmp_path, slide_path):
    scores = Statistics("zscore", MARKERS, (1.0, 2_000.0, 3.0), (1.0, 500.0, 1.0))
    made = split(
        slide_path, tmp_path / "out", names=("CD8",), normalization=Normalization("zscore"),
        measured=lambda task, report: (scores, "print"),
    )  # fmt: skip
    pixels, _ = plane(tmp_path / "out/a", made.files["CD8"])
    assert pixels.dtype == np.float32
    assert np.allclose(pixels, (PLANES[1] - 2_000.0) / 500.0, rtol=1e-5)


def test_the_metadata_of_an_ome_zarr_are_as_its_specification_says(tmp_path, slide_path):
    split(slide_path, tmp_path / "out", background=("AF", 0.5))
    group = json.loads((tmp_path / "out/a/CD8.ome.zarr/zarr.json").read_text())
    assert (group["zarr_format"], group["node_type"]) == (3, "group")
    ome = group["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (multiscale,) = ome["multiscales"]
    assert [(axis["name"], axis["type"], axis.get("unit")) for axis in multiscale["axes"]] == [
        ("c", "channel", None),
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    for level, dataset in enumerate(multiscale["datasets"]):
        assert dataset["path"] == str(level)
        assert dataset["coordinateTransformations"] == [
            {"type": "scale", "scale": [1.0, 0.25 * 2**level, 0.5 * 2**level]}
        ]
        array = json.loads((tmp_path / f"out/a/CD8.ome.zarr/{level}/zarr.json").read_text())
        assert array["dimension_names"] == ["c", "y", "x"]
    (channel,) = ome["omero"]["channels"]
    assert channel["label"] == "CD8"
    assert channel["color"] == "FFFFFF"
    assert channel["window"] == {"min": 0, "start": 0, "end": 65_535, "max": 65_535}
    told = group["attributes"]["wsitools"]
    assert told["source"]["file"] == "a.ome.tiff"
    assert told["source"]["channel"] == 1
    assert told["background"] == {"marker": "AF", "scale": 0.5}


def test_an_ome_zarr_opens_in_ome_zarr_py(tmp_path, slide_path):
    """The tests do not install it: it brings S3 clients, and holds pydantic back."""
    pytest.importorskip("ome_zarr", reason="pip install ome-zarr, in an environment of its own")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    split(slide_path, tmp_path / "out")
    (node,) = Reader(parse_url(tmp_path / "out/a/CD8.ome.zarr"))()
    assert [level.shape for level in node.data] == [(1, 700, 1301), (1, 350, 650), (1, 175, 325)]
    assert np.array_equal(node.data[0].compute()[0], PLANES[1])
    assert node.metadata["channel_names"] == ["CD8"]
    assert node.metadata["coordinateTransformations"][1][0]["scale"] == [1.0, 0.5, 1.0]


def test_a_tiff_opens_in_other_programs_with_names_exposure_and_provenance(tmp_path, slide_path):
    split(slide_path, tmp_path / "out", form="ome-tiff", dtype="uint8")
    path = tmp_path / "out/a/CD8.ome.tiff"
    with tifffile.TiffFile(path) as tiff:
        told = json.loads(tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Description"])
        assert told["source"]["fingerprint"] == open_fingerprint(slide_path)
        pixels = tiff.asarray()
    with open_slide(path) as slide:
        assert slide.info.channels[0].exposure_ms == 20.0
    with TiffSlide(path) as other:
        assert other.level_dimensions == ((1301, 700), (650, 350), (325, 175))
        assert other.properties["tiffslide.mpp-x"] == pytest.approx(0.5)
    with openslide.OpenSlide(path) as other:  # it sees the first level alone, in grey
        assert other.dimensions == (1301, 700)
        grey = np.asarray(other.read_region((0, 0), 0, (1301, 700)))
        assert np.array_equal(grey[..., 0], pixels)


def open_fingerprint(path):
    with open_slide(path) as slide:
        return slide.info.fingerprint


def test_done_work_is_kept_and_another_request_is_refused_unless_it_may_overwrite(
    tmp_path, slide_path
):
    out = tmp_path / "out"
    assert split(slide_path, out).done
    written = (out / "a/CD8.ome.zarr/0/c/0/0/0").stat().st_mtime_ns
    again = split(slide_path, out)
    assert not again.done
    assert (out / "a/CD8.ome.zarr/0/c/0/0/0").stat().st_mtime_ns == written
    with pytest.raises(StoreError, match=r'dtype: "uint8" asked, "keep" there'):
        split(slide_path, out, dtype="uint8")
    assert split(slide_path, out, dtype="uint8", overwrite=True).done
    assert plane(out / "a", "CD8.ome.zarr")[0].dtype == np.uint8


def test_a_folder_that_is_no_split_is_not_replaced(tmp_path, slide_path):
    (tmp_path / "out/a").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"is no split slide, for it has no split\.json"):
        split(slide_path, tmp_path / "out", overwrite=True)


def test_work_that_is_stopped_leaves_nothing_to_see_and_is_swept_by_the_next(tmp_path, slide_path):
    out = tmp_path / "out"
    told = []

    def stopped(stage, done, total):
        told.append((stage, done, total))
        if done:
            raise InterruptedRunError("stopped on request")

    with pytest.raises(InterruptedRunError):
        split(slide_path, out, report=stopped)
    assert told[-1] == ("split", 512, 3 * (700 + 350 + 175))
    assert [path.name for path in out.iterdir() if path.name != ".leases"] == []
    (out / ".a.0123456789ab.part").mkdir()  # of a worker that was killed
    assert split(slide_path, out).done
    assert [path.name for path in out.iterdir() if path.name != ".leases"] == ["a"]


def test_a_dry_run_says_what_would_be_there_and_writes_nothing(tmp_path, slide_path):
    foreseen = split(slide_path, tmp_path / "out", dry_run=True, names=("CD8",))
    assert foreseen.files == {"CD8": "CD8.ome.zarr"}
    assert foreseen.bytes == 2 * (1301 * 700 + 650 * 350 + 325 * 175)
    assert list((tmp_path / "out").iterdir()) == []


def test_markers_are_called_as_the_panel_calls_them_and_missing_ones_can_be_dropped(
    tmp_path, slide_path
):
    panel = Panel((Marker("Ki-67"), Marker("T cells", aliases=("CD8",))), "p")
    with pytest.raises(DataError, match="lacks Ki-67"):
        split(slide_path, tmp_path / "out", panel=panel)
    made = split(slide_path, tmp_path / "out", panel=panel, missing="drop")
    assert made.missing == ("Ki-67",)
    assert np.array_equal(plane(tmp_path / "out/a", "T cells.ome.zarr")[0], PLANES[1])


def test_names_that_no_file_can_have_are_changed_and_never_two_into_one(tmp_path):
    write_slide(tmp_path / "b.ome.tiff", PLANES, ("CD3/CD4", "HLA-DR", "AF"))
    made = split(tmp_path / "b.ome.tiff", tmp_path / "out", names=("CD3/CD4",))
    assert made.files == {"CD3/CD4": "CD3-CD4.ome.zarr"}
    write_slide(tmp_path / "c.ome.tiff", PLANES, ("CD3/CD4", "CD3-CD4", "AF"))
    with pytest.raises(DataError, match=r"another marker's file is called CD3-CD4\.ome\.zarr too"):
        split(tmp_path / "c.ome.tiff", tmp_path / "out2")


def test_brightfield_and_requests_that_make_no_sense_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "he.tiff", np.zeros((90, 90, 3), np.uint8), photometric="rgb")
    with pytest.raises(SlideError, match="is brightfield; its colours are no markers"):
        split(tmp_path / "he.tiff", tmp_path / "out")
    for asked, said in (
        ({"form": "png"}, "--to png: choose from ome-zarr, ome-tiff"),
        ({"missing": "zero"}, "a plane of zeros would pass for a measurement"),
        ({"dtype": "uint8", "normalization": Normalization("zscore")}, "z-scores are negative"),
    ):
        with pytest.raises(InputError, match=said):
            SplitRequest(**asked)
