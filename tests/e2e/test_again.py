"""The same command again, another request for the same output, and what a dry run foresees."""

import shutil

import numpy as np
import pytest

from wsi_tools.store import FeatureStore

SMALL = ("--backbone", "one-layer", "--weights", "random:0")


@pytest.fixture(scope="session")
def prepared(wsitools, small_slide, tmp_path_factory):
    """A project with the square, prepared with a backbone of one layer."""
    folder = tmp_path_factory.mktemp("prepared") / "proj"
    wsitools("run", small_slide, "-o", folder, *SMALL)
    return folder


@pytest.fixture
def project(prepared, tmp_path):
    """A copy of it."""
    return shutil.copytree(prepared, tmp_path / "proj")


def test_done_work_is_printed_again_reads_no_picture_and_writes_nothing(
    wsitools, small_slide, snapshot, tmp_path
):
    log = tmp_path / "reads"
    command = ("run", small_slide, "-o", tmp_path / "proj", "--reader", "counting", *SMALL)
    first = wsitools(*command, env={"TRIAL_READS": str(log)})
    before, reads = snapshot(tmp_path / "proj"), log.read_text().splitlines()
    log.unlink()
    again = wsitools(*command, env={"TRIAL_READS": str(log)})
    assert (first.code, again.code) == (0, 0)
    assert again.out == first.out
    assert again.err == (
        "square: already done, 0.1475 mm² of tissue, 16 of 16 tiles with enough of it\n"
    )
    assert len(reads) > 16
    assert log.read_text().splitlines() == ["512 512 1 1 0"]  # one pixel proves that it decodes
    assert snapshot(tmp_path / "proj") == before


def test_done_work_needs_neither_torch_nor_weights(wsitools, small_slide, project):
    command = ("run", small_slide, "-o", project, *SMALL, "--json")
    (row,) = wsitools(*command, env={"TRIAL_WITHOUT_TORCH": "1"}).rows
    assert row["features"] == ["one-layer"]
    assert row["stages"] == []


def test_two_devices_embed_as_one_does(wsitools, svs, small_slide, tmp_path):
    one, two = (
        wsitools("run", svs, small_slide, "-o", tmp_path / name, *SMALL, "--device", device)
        for name, device in (("one", "cpu"), ("two", "cpu,cpu"))
    )
    assert (one.code, two.code) == (0, 0)
    key = "mpp0.5-px256-ov0"
    for slide in (svs, small_slide):
        alone, beside = (
            FeatureStore(tmp_path / name / f"{slide.stem}.zarr").feature_rows(key, "one-layer")
            for name in ("one", "two")
        )
        assert np.array_equal(alone.read(), beside.read())


def test_devices_of_two_kinds_are_exit_2(wsitools, small_slide, tmp_path):
    command = ("run", small_slide, "-o", tmp_path, *SMALL, "--device", "cpu,cuda:0")
    refused = wsitools(*command)
    assert refused.code == 2
    assert "--device cpu,cuda:0: cpu and cuda compute differently" in refused.err


def test_another_request_for_the_same_features_is_exit_4_and_names_the_difference(
    wsitools, small_slide, project, snapshot
):
    before = snapshot(project / "square.zarr")
    command = ("run", small_slide, "-o", project, "--backbone", "one-layer")
    refused = wsitools(*command, "--weights", "random:1")
    assert refused.code == 4
    assert "another request made the features one-layer there (weights: " in refused.err
    assert "choose another output, or add --overwrite" in refused.err
    assert snapshot(project / "square.zarr") == before
    assert wsitools(*command, "--weights", "random:1", "--overwrite").code == 0
    made = FeatureStore(project / "square.zarr").feature_attributes("mpp0.5-px256-ov0", "one-layer")
    assert made["weights"]["source"] == "random:1"


def test_one_different_request_does_not_stop_the_others(
    wsitools, write_slide, tissue, small_slide, project, tmp_path
):
    other = write_slide(tmp_path / "other.tif", tissue)
    done = wsitools("run", small_slide, other, "-o", project, "--preset", "ihc", "--until", "tile")
    assert done.code == 4
    assert done.out == [str(project / "other.zarr")]
    assert "another request made the tissue there (options.stain" in done.err


def test_other_tissue_takes_its_grids_along_only_when_it_may_overwrite(
    wsitools, small_slide, project
):
    command = ("run", small_slide, "-o", project, "--min-area-um2", "1000", "--until", "tile")
    refused = wsitools(*command)
    assert refused.code == 4
    assert "(options.min_area_um2: 1000.0 asked, 20000.0 there)" in refused.err
    assert FeatureStore(project / "square.zarr").feature_names("mpp0.5-px256-ov0") == ("one-layer",)
    assert wsitools(*command, "--overwrite").code == 0
    assert FeatureStore(project / "square.zarr").feature_names("mpp0.5-px256-ov0") == ()


def test_a_store_holds_several_grids_and_embedding_says_which_is_meant(wsitools, project, tmp_path):
    assert wsitools("tile", project, "--mpp", "1").code == 0
    assert wsitools("tile", project, "--overlap", "50%").code == 0
    store = FeatureStore(project / "square.zarr")
    keys = ("mpp0.5-px256-ov0", "mpp0.5-px256-ov128", "mpp1.0-px256-ov0")
    assert store.grid_keys() == keys
    assert store.feature_names(keys[0]) == ("one-layer",)
    unclear = wsitools("embed", project, *SMALL)
    assert unclear.code == 2
    assert f"has the grids {', '.join(keys)}; choose one with --grid" in unclear.err
    assert wsitools("embed", project, *SMALL, "--grid", keys[2]).code == 0
    assert store.feature_names(keys[2]) == ("one-layer",)


def test_the_least_tissue_is_raised_without_tiling_or_embedding_again(wsitools, svs, tmp_path):
    project = tmp_path / "proj"
    wsitools("run", svs, "-o", project, "--mpp", "1", *SMALL)
    command = ("run", svs, "-o", project, "--mpp", "1", *SMALL, "--json", "--min-tissue")
    (raised,) = wsitools(*command, "0.5").rows
    tissue = FeatureStore(raised["store"]).grid(raised["grid"]).tissue
    assert raised["tiles_with_tissue"] == np.count_nonzero(tissue >= 0.5) < 17
    assert raised["stages"] == []
    lowered = wsitools(*command, "0.01")
    assert lowered.code == 4
    assert "(min_tissue: 0.01 asked, 0.1 there)" in lowered.err


def test_slides_are_tiled_with_defaults_before_they_are_embedded(wsitools, small_slide, tmp_path):
    (row,) = wsitools("embed", small_slide, "-o", tmp_path / "proj", *SMALL, "--json").rows
    assert (row["grid"], row["stages"]) == ("mpp0.5-px256-ov0", ["segment", "tile", "embed"])
    assert row["embedded"] == 16


def test_a_dry_run_foresees_what_the_run_makes_and_writes_nothing(wsitools, svs, tmp_path):
    project = tmp_path / "new" / "proj"
    command = ("run", svs, "-o", project, "--mpp", "1", *SMALL)
    (foreseen,) = wsitools(*command, "--dry-run", "--json").rows
    told = wsitools(*command, "--dry-run", "--until", "tile")
    assert told.out == [
        f"cmu-1-small-region: {foreseen['tissue_mm2']:g} mm² of tissue, 17 of 21 tiles with "
        "enough of it, read from level 0, resampled"
    ]
    assert not project.parent.exists()
    (made,) = wsitools(*command, "--json").rows
    store = FeatureStore(made["store"])
    assert foreseen["tiles"] == made["tiles"] == 21
    assert foreseen["tiles_with_tissue"] == made["embedded"] == 17
    assert foreseen["level"] == store.grid(made["grid"]).level
    assert foreseen["bytes"] == store.features(made["grid"], "one-layer").nbytes
    assert foreseen["tissue_mm2"] == made["tissue_mm2"]
    assert foreseen["there"] == []


def test_a_dry_run_foresees_a_different_request(wsitools, small_slide, project, snapshot):
    before = snapshot(project)
    command = ("run", small_slide, "-o", project, "--preset", "ihc", "--dry-run")
    refused = wsitools(*command, "--until", "tile")
    assert refused.code == 4
    assert "another request made the tissue there" in refused.err
    assert wsitools(*command, "--until", "tile", "--overwrite").code == 0
    assert snapshot(project) == before


def test_a_dry_run_says_which_weights_are_missing(wsitools, small_slide, tmp_path):
    done = wsitools("run", small_slide, "-o", tmp_path / "proj", "--dry-run", "--json")
    (row,) = done.rows
    assert done.code == 0
    assert row["bytes"] == 16 * 1024 * 2
    assert row["missing"][0].startswith("resnet50: no weights: not in the local cache")
    assert not (tmp_path / "proj").exists()


def test_pictures_are_drawn_when_asked_for_and_drawn_again_with_other_tissue(
    wsitools, small_slide, tmp_path
):
    project = tmp_path / "proj"
    picture, outlines = project / "overlays/square.png", project / "geojson/square.geojson"
    wsitools("segment", small_slide, "-o", project, "--no-overlay")
    assert not picture.exists()
    wsitools("segment", small_slide, "-o", project, "--geojson")
    assert picture.read_bytes().startswith(b"\x89PNG")
    before = outlines.read_text()
    command = ("segment", small_slide, "-o", project, "--geojson", "--method", "none")
    assert wsitools(*command).code == 4
    assert outlines.read_text() == before
    assert wsitools(*command, "--overwrite").code == 0
    assert outlines.read_text() != before
