"""split-channels as a shell would ask for it: its files, its exit codes, and what it refuses."""

import csv
import os
import signal
import time

import numpy as np
import psutil
import pytest
import tifffile
import zarr

NAMES = ("DAPI", "PDL1", "GZMB", "PD1", "CK-EPCAM", "CD8a", "FOXP3")


@pytest.fixture(scope="session")
def planes(test_data):
    return np.load(test_data / "mif/csm_B09.npy")


def level_0(path):
    if path.suffix == ".zarr":
        return zarr.open_array(path / "0", mode="r")[0]
    return tifffile.imread(path)


@pytest.mark.parametrize("form", ["ome-zarr", "ome-tiff"])
def test_every_file_of_a_real_slide_is_the_plane_of_its_name(
    wsitools, test_data, planes, tmp_path, form
):
    slide = test_data / "mif/csm_B09.ome.tiff"
    done = wsitools("split-channels", slide, "-o", tmp_path, "--to", form, "--json")
    assert done.code == 0
    (row,) = done.rows
    assert row["folder"] == str(tmp_path / "csm_B09")
    assert sorted(row["files"]) == sorted(NAMES)
    for name, plane in zip(NAMES, planes, strict=True):
        assert np.array_equal(level_0(tmp_path / "csm_B09" / row["files"][name]), plane)


def test_the_same_command_is_done_already_and_another_is_refused(wsitools, test_data, tmp_path):
    asked = ("split-channels", test_data / "mif/csm_B09.ome.tiff", "-o", tmp_path)
    assert wsitools(*asked, "--markers", "DAPI,CD8a").code == 0
    again = wsitools(*asked, "--markers", "CD8a,DAPI")
    assert (again.code, again.out) == (0, [str(tmp_path / "csm_B09")])
    assert "csm_B09: already done, 2 markers of 1 levels" in again.err
    other = wsitools(*asked, "--markers", "DAPI,CD8a", "--background", "PD1")
    assert other.code == 4
    assert "another request made the split there (" in other.err
    assert wsitools(*asked, "--background", "PD1", "--overwrite").code == 0
    assert not (tmp_path / "csm_B09/PD1.ome.zarr").exists()
    assert not (tmp_path / "failures.csv").exists()


def test_what_is_no_panel_fails_alone_in_one_line_and_is_listed(wsitools, test_data, tmp_path):
    mif = test_data / "mif"
    done = wsitools(
        "split-channels", mif / "cytomapper", mif / "mibi_v0.1.tiff", mif / "ark_fov8_channels",
        test_data / "slides/kidney-48-5.tif", "-o", tmp_path,
    )  # fmt: skip
    assert done.code == 3
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        "E34_imc", "ark_fov8_channels", "failures.csv", "mibi_v0.1",
    ]  # fmt: skip
    with (tmp_path / "failures.csv").open() as file:
        said = {row["slide_id"]: row["message"] for row in csv.DictReader(file)}
    assert said.keys() == {"E34_mask", "kidney-48-5"}
    assert "one plane of uint16: a mask is no slide" in said["E34_mask"]
    assert said["kidney-48-5"].endswith("is brightfield; its colours are no markers")
    assert "ark_fov8_channels: done, 22 markers of 2 levels" in done.err


def test_a_scale_measured_on_tissue_is_written_as_shares_of_the_range(
    wsitools, test_data, planes, tmp_path
):
    done = wsitools(
        "split-channels", test_data / "mif/csm_B09.ome.tiff", "-o", tmp_path, "--markers", "DAPI",
        "--normalize", "percentile:1,99", "--mpp-override", "0.5",
    )  # fmt: skip
    assert done.code == 0
    assert "erases how much of a marker one slide has" in done.err
    group = zarr.open_group(tmp_path / "csm_B09/DAPI.ome.zarr", mode="r")
    low, span = group.attrs["wsitools"]["statistics"]
    share = np.clip((planes[0].astype(np.float64) - low) / span, 0, 1)
    assert np.abs(group["0"][0] - share * 255).max() <= 0.501


def test_a_marker_is_split_where_it_is_and_a_slide_without_it_fails_alone(
    wsitools, test_data, tmp_path
):
    done = wsitools(
        "split-channels", test_data / "mif/csm_B09.ome.tiff", test_data / "mif/small_vectra.qptiff",
        "-o", tmp_path, "--markers", "Cy3",
    )  # fmt: skip
    assert (done.code, done.out) == (3, [str(tmp_path / "small_vectra")])
    assert "csm_B09.ome.tiff: 'Cy3' is no marker of the panel; it has CD8a, CK-EPCAM" in done.err


def test_a_scale_is_measured_on_coarse_slides_and_of_the_markers_that_are_there(
    wsitools, test_data, tmp_path
):
    panel = tmp_path / "panel.csv"
    panel.write_text("marker_name,role\nDAPI,nuclear\nCD8a,background\nCD99,\n")
    done = wsitools(
        "split-channels", test_data / "mif/csm_B09.ome.tiff", "-o", tmp_path, "--panel", panel,
        "--normalize", "zscore", "--missing-marker", "drop", "--mpp-override", "1",
        "--markers", "CD8a,DAPI,CD99",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "2 markers of 1 levels, without CD99" in done.err
    assert {path.name for path in (tmp_path / "csm_B09").glob("*.zarr")} == {
        "DAPI.ome.zarr", "CD8a.ome.zarr",
    }  # fmt: skip


def test_mistakes_on_the_command_line_are_one_line_and_exit_2(wsitools, test_data, tmp_path):
    slide, panel = test_data / "mif/csm_B09.ome.tiff", tmp_path / "panel.csv"
    panel.write_text("marker_name\nCD8a\n")
    for options, said in (
        (("-o", tmp_path, "--to", "png"), "--to png: choose from ome-zarr, ome-tiff"),
        (
            ("-o", tmp_path, "--panel", panel, "--markers", "CD9"),
            "'CD9' is no marker of the panel; it has CD8a",
        ),
        (("-o", tmp_path, "--normalize", "log"), "--normalize log is not known"),
        ((), "split-channels: say where the files go with --out"),
    ):
        done = wsitools("split-channels", slide, *options)
        assert done.code == 2
        assert said in done.err.splitlines()[-1]


def test_a_dry_run_says_what_it_would_write_and_writes_nothing(wsitools, test_data, tmp_path):
    slide = test_data / "mif/csm_B09.ome.tiff"
    done = wsitools("split-channels", slide, "-o", tmp_path / "out", "--dry-run")
    assert done.code == 0
    assert f"csm_B09: {7 * 500 * 500} bytes before compression, 7 markers" in done.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_killed_shows_nothing_half_done_and_the_next_one_finishes(
    wsitools, start, tmp_path
):
    noise = np.random.default_rng(9).integers(0, 60_000, (4, 3000, 3000)).astype("uint16")
    metadata = {"axes": "CYX", "Channel": {"Name": ["A", "B", "C", "D"]}}
    tifffile.imwrite(tmp_path / "a.ome.tiff", noise, metadata=metadata, photometric="minisblack")
    out = tmp_path / "out"
    command = ("split-channels", tmp_path / "a.ome.tiff", "-o", out)
    with start(*command) as running:
        while not list(out.glob(".a.*.part/B.ome.zarr/0/c/0/0/0")):
            assert running.poll() is None
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
    assert list(out.glob("[!.]*")) == []
    assert wsitools(*command).code == 0
    for name, plane in zip("ABCD", noise, strict=True):
        assert np.array_equal(level_0(out / f"a/{name}.ome.zarr"), plane)
    assert list(out.glob(".a.*")) == []


@pytest.mark.slow
def test_eight_channels_of_12000_by_12000_pixels_are_split_in_under_1_gb(start, tmp_path):
    """2.3 GB of pixels; what Python imports is counted too."""
    side, names = 12_000, [f"M{place}" for place in range(8)]
    texture = np.random.default_rng(10).integers(0, 4_000, (512, 512)).astype("uint16")
    tiles = (texture + np.uint16(place % 997) for place in range(8 * 24 * 24))
    tifffile.imwrite(
        tmp_path / "a.ome.tiff", tiles, shape=(8, side, side), dtype="uint16", tile=(512, 512),
        photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": names}},
    )  # fmt: skip
    peak = 0
    with start("split-channels", tmp_path / "a.ome.tiff", "-o", tmp_path / "out") as running:
        family = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, sum(map(resident, [family, *family.children(recursive=True)])))
            time.sleep(0.1)
    assert running.returncode == 0
    assert peak < 1e9
    last = zarr.open_array(tmp_path / "out/a/M7.ome.zarr/0", mode="r")
    assert np.array_equal(last[0, :512, :512], texture + np.uint16(7 * 24 * 24 % 997))


def resident(process):
    """Bytes in memory; none of a process that has just ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
