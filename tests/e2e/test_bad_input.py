"""What bad input gets: one clear line, the right exit code, the other slides done, nothing lost."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pytest
import tifffile

from wsi_tools.store import FeatureStore

SMALL = ("--backbone", "one-layer", "--weights", "random:0")


@pytest.fixture(scope="session")
def bad_folder(write_slide, tissue, small_slide, tmp_path_factory):
    """One good slide among everything that can be wrong with a file."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copy(small_slide, folder / "good.tiff")
    (folder / "truncated.svs").write_bytes(small_slide.read_bytes()[:4096])
    (folder / "empty.svs").write_bytes(b"")
    (folder / "text.svs").write_text("this is no slide\n" * 100)
    rewrite_tags(write_slide(folder / "codec.tiff", tissue), {"Compression": 52479})
    write_slide(folder / "unscaled.tiff", tissue, mpp=None)
    write_slide(folder / "absurd.tiff", tissue, mpp=352.8)
    write_slide(folder / "coarse.tiff", tissue, mpp=1.0)
    write_slide(folder / "glass.tiff", np.full((1024, 1024, 3), 244, np.uint8))
    sides = ("ImageWidth", "ImageLength", "TileWidth", "TileLength")
    rewrite_tags(write_slide(folder / "huge.tiff", tissue), dict.fromkeys(sides, 1_000_000))
    return folder


def rewrite_tags(slide, tags):
    """Let a TIFF claim what it is not."""
    with tifffile.TiffFile(slide, mode="r+b") as file:
        for name, value in tags.items():
            file.pages[0].tags[name].overwrite(value)


@pytest.fixture(scope="session")
def after(wsitools, bad_folder, tmp_path_factory):
    """(project, what the command left): all of them in one run."""
    project = tmp_path_factory.mktemp("after") / "proj"
    return project, wsitools("run", bad_folder, "-o", project, *SMALL, "--json")


REASONS = {
    "truncated": "truncated.svs: no reader could open it",
    "empty": "empty.svs: no reader could open it",
    "text": "text.svs: no reader could open it",
    "codec": "codec.tiff: no reader could open it",
    "unscaled": "unscaled.tiff: no resolution in the file; give it with --mpp-override 0.25",
    "absurd": "absurd.tiff: no believable resolution in the file",
    "coarse": "coarse.tiff: its finest pixels are 1 µm and 0.5 was asked for; choose a coarser",
    "huge": "huge.tiff: no reader could open it",
}


def failures(project):
    """The rows of a project's list."""
    return list(csv.DictReader((project / "failures.csv").read_text().splitlines()))


def test_every_bad_slide_fails_alone_with_its_reason(after):
    project, done = after
    assert done.code == 3
    assert [row["slide_id"] for row in done.rows] == ["glass", "good"]
    table = {row["slide_id"]: row["message"] for row in failures(project)}
    assert table.keys() == REASONS.keys()
    assert "Unsupported TIFF compression: 52479" in table["codec"]
    assert "claims 1000000 × 1000000 pixels per tile" in table["huge"]
    for slide_id, reason in REASONS.items():
        assert table[slide_id].startswith(reason)
        (line,) = [each for each in done.err.splitlines() if each.startswith(f"failed: {slide_id}")]
        assert reason in line
    assert done.err.splitlines()[-1] == "error: 8 slides failed; the others are done"


def test_a_slide_without_tissue_is_a_success_that_every_stage_accepts(after, wsitools):
    project, done = after
    assert done.rows[0]["tiles"] == 0
    assert "warning: glass: no tissue was found; its grid is empty\n" in done.err
    store = FeatureStore(project / "glass.zarr")
    assert store.features("mpp0.5-px256-ov0", "one-layer").shape == (0, 8)
    again = wsitools("embed", project / "glass.zarr", "--backbone", "one-layer", "--dtype",
                     "float32", "--weights", "random:0", "--overwrite", "--json")  # fmt: skip
    assert (again.code, again.rows[0]["embedded"]) == (0, 0)
    assert wsitools("tile", project / "glass.zarr", "--coords", "csv").out == [
        "slide_id,x,y,row,column,tissue"
    ]


def test_a_mended_slide_leaves_the_list_and_the_others_stay(after, wsitools, bad_folder, tmp_path):
    project = tmp_path / "proj"
    shutil.copytree(after[0], project)
    done = wsitools("run", bad_folder / "unscaled.tiff", "-o", project, *SMALL,
                    "--mpp-fallback", "0.5")  # fmt: skip
    assert done.code == 0
    assert {row["slide_id"] for row in failures(project)} == REASONS.keys() - {"unscaled"}


def test_stems_that_collide_become_slugs(wsitools, write_slide, tissue, tmp_path):
    for name in ("one/case.tif", "two/case.tif", "two/other.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_slide(tmp_path / name, tissue)
    done = wsitools("segment", tmp_path, "-r", "-o", tmp_path / "proj", "--json")
    assert [row["slide_id"] for row in done.rows] == ["one-case-tif", "two-case-tif", "other"]


def test_names_that_differ_in_case_alone_are_refused_and_the_others_done(
    wsitools, write_slide, tissue, tmp_path
):
    for name in ("Case.tif", "case.tif", "other.tif"):
        write_slide(tmp_path / name, tissue)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell case apart")
    done = wsitools("segment", tmp_path, "-o", tmp_path / "proj")
    assert (done.code, done.out) == (3, [str(tmp_path / "proj" / "other.zarr")])
    assert done.err.count("differs from it in case alone; rename one of them") == 2


def test_a_torn_store_is_exit_4_and_the_others_are_done(wsitools, write_slide, tissue, tmp_path):
    slides = [write_slide(tmp_path / f"{name}.tif", tissue) for name in "ab"]
    project = tmp_path / "proj"
    wsitools("segment", *slides, "-o", project)
    root = project / "a.zarr" / "zarr.json"
    root.write_text(root.read_text()[:100])
    done = wsitools("tile", project)
    assert (done.code, done.out) == (4, [str(project / "b.zarr")])
    assert f"failed: a: open: {project}/a.zarr: its zarr.json is torn or not ours" in done.err
    status = wsitools("status", project)
    assert [line.split("\t")[1].split(":")[0] for line in status.out] == ["torn", "tissue"]


def test_a_slide_that_is_gone_or_another_fails_alone(wsitools, write_slide, tissue, tmp_path):
    slides = [write_slide(tmp_path / f"{name}.tif", tissue) for name in "abc"]
    project = tmp_path / "proj"
    wsitools("segment", *slides, "-o", project)
    slides[0].unlink()
    write_slide(slides[1], 255 - tissue)
    done = wsitools("tile", project)
    assert (done.code, done.out) == (3, [str(project / "c.zarr")])
    assert "a.tif: the slide of a.zarr is gone; run wsitools tile with its new place" in done.err
    assert "b.tif: not the file that b.zarr was made from" in done.err
    moved = tmp_path / "moved"
    moved.mkdir()
    write_slide(moved / "a.tif", tissue)
    assert wsitools("tile", moved / "a.tif", "-o", project).code == 0
    assert FeatureStore(project / "a.zarr").record.path == str(moved / "a.tif")


def test_a_read_only_place_is_exit_5_in_one_line(wsitools, mounted, bad_folder, tmp_path):
    with mounted(tmp_path / "disk", "ro") as disk:
        done = wsitools("tile", bad_folder, "-o", disk / "proj")
    assert (done.code, done.out) == (5, [])
    assert done.err == (
        f"error: {disk}/proj: Read-only file system; free space there or choose another --out, "
        "and run again\n"
    )


@pytest.mark.faults
def test_a_disk_that_fills_up_is_exit_5_and_the_same_command_goes_on(
    wsitools, mounted, many_tiles, snapshot, tmp_path
):
    command, whole = many_tiles
    files = [path for path in whole.rglob("*") if path.is_file()]
    needed = sum(-(-path.stat().st_size // 4096) * 4 for path in files)  # KiB in whole pages
    with mounted(tmp_path / "disk", f"size={needed - 100}k") as disk:
        full = wsitools(*command, "-o", disk / "proj")
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        done = wsitools(*command, "-o", disk / "proj", "--json")
        assert chunks(snapshot(disk / "proj")) == chunks(snapshot(whole))
    assert full.code == 5
    assert full.err.splitlines()[-1] == (
        f"error: {disk}/proj: No space left on device; free space there or choose another --out, "
        "and run again"
    )
    assert done.code == 0


def chunks(files):
    """What arrays hold; records of when and where are left out."""
    return {name: content for name, (_, content) in files.items() if "/c/" in name}


def test_an_output_that_is_a_file_is_exit_5(wsitools, small_slide, tmp_path):
    (tmp_path / "taken").write_text("")
    for place in ("taken", "taken/below"):
        done = wsitools("tile", small_slide, "-o", tmp_path / place)
        assert done.code == 5
        assert done.err.startswith(f"error: {tmp_path}/{place}: Not a directory; ")


@pytest.mark.faults
def test_a_decoder_that_crashes_costs_one_slide(wsitools, write_slide, tissue, tmp_path):
    for name in ("a", "crash", "z"):
        write_slide(tmp_path / f"{name}.tif", tissue)
    done = wsitools("tile", tmp_path, "-o", tmp_path / "proj", "--reader", "crashing", "--json")
    assert (done.code, [row["slide_id"] for row in done.rows]) == (3, ["a", "z"])
    assert (
        "failed: crash: segment: the worker process ended while on this slide: killed by SIGABRT; "
        "the others go on\n"
    ) in done.err


@pytest.mark.faults
def test_a_decoder_that_hangs_costs_one_slide(wsitools, write_slide, tissue, tmp_path):
    for name in ("hang", "z"):
        write_slide(tmp_path / f"{name}.tif", tissue)
    command = ("tile", tmp_path, "-o", tmp_path / "proj", "--reader", "hanging", "--json")
    done = wsitools(*command, "--stall-limit", "12")
    assert (done.code, [row["slide_id"] for row in done.rows]) == (3, ["z"])
    assert "failed: hang: segment: " in done.err
    assert "no sign of life for 12 s" in done.err


def test_a_few_unreadable_tiles_are_marked_and_too_many_fail_the_slide(wsitools, tissue, tmp_path):
    slide = tmp_path / "holed.tif"
    options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb"}
    with tifffile.TiffWriter(slide) as file:
        file.write(tissue, resolution=(20_000, 20_000), resolutionunit=3, **options)
        file.write(tissue[::16, ::16], subfiletype=1, **options)
    with tifffile.TiffFile(slide) as file:
        page = file.pages[0]
        places = [page.dataoffsets[each] for each in (5, 15)]
    with slide.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"\xff\xd8\xff\xee\x00\x00" * 20)
    command = ("run", slide, "-o", tmp_path / "proj", *SMALL, "--method", "none", "--json")
    strict = wsitools(*command)
    assert strict.code == 3
    assert "holed.tif: 1 tiles could not be read (tile 5: " in strict.err
    assert "allow more with --max-bad-tiles" in strict.err
    (row,) = wsitools(*command, "--max-bad-tiles", "15%").rows
    assert (row["tiles"], row["embedded"], row["unread"]) == (16, 14, 2)
    store = FeatureStore(tmp_path / "proj" / "holed.zarr")
    rows = store.features(row["grid"], "one-layer")[...]
    valid = store.valid(row["grid"])
    assert np.flatnonzero(~valid).tolist() == [5, 15]
    assert np.flatnonzero(~rows.any(axis=1)).tolist() == [5, 15]
    made = json.loads((tmp_path / "proj/holed.zarr/zarr.json").read_text())
    assert made["attributes"]["wsitools"]["format"] == 1
