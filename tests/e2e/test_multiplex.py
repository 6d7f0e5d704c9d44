"""From multiplex files to features of markers, as a shell would ask for them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import timm
import torch
from PIL import Image

from wsi_tools.store import FeatureStore

GRID = ("--mpp-override", "0.65", "--mpp", "0.65", "--tile-size", "64", "--method", "any-marker")
LIGHT = ("--backbone", "one-layer", "--weights", "random:0", "--dtype", "float32")


@pytest.fixture(scope="session")
def csm(test_data):
    """A real image of 7 channels: (7, 500, 500) uint8 planes, and their names."""
    path = test_data / "mif" / "csm_B09.ome.tiff"
    return tifffile.imread(path), (test_data / "mif" / "csm_channels.txt").read_text().split()


@pytest.fixture(scope="session")
def write_channels():
    """Write planes (C, height, width) under these names as OME-TIFF."""

    def write(path, planes, names):
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"axes": "CYX", "Channel": {"Name": list(names)}}
        tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
        return path

    return write


@pytest.fixture(scope="session")
def panel(csm, tmp_path_factory):
    """A panel of the seven markers, in the order of the file, with an alias of one."""
    path = tmp_path_factory.mktemp("panel") / "seven.csv"
    rows = [("marker_name", "alias"), *((name, f"{name}_stain") for name in csm[1])]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def stored(project, slide="a", name=None):
    """(features, their attributes, the grid) of a slide with one grid."""
    store = FeatureStore(project / f"{slide}.zarr")
    (key,) = store.grid_keys()
    name = name or store.feature_names(key)[0]
    return store.features(key, name)[...], store.feature_attributes(key, name), store.grid(key)


@pytest.fixture(scope="session")
def seven(wsitools, write_channels, csm, panel, tmp_path_factory):
    """(slide, project, the command's row) of the seven markers."""
    folder = tmp_path_factory.mktemp("csm")
    slide = write_channels(folder / "a.ome.tiff", *csm)
    command = ("run", slide, "-o", folder / "proj", "--panel", panel, *GRID, *LIGHT, "--json")
    done = wsitools(*command)
    assert (done.code, done.err.count("warning")) == (0, 0), done.err
    return slide, folder / "proj", done.rows[0]


def test_features_have_a_row_for_every_marker_in_the_panels_order(wsitools, seven, csm):
    _, project, row = seven
    features, attributes, grid = stored(project)
    assert row["features"] == ["one-layer@seven"]
    assert features.shape == (len(grid), 7, 8)
    assert attributes["markers"] == csm[1]
    embedded = np.abs(features).sum(axis=2) > 0
    assert (embedded == (grid.tissue >= 0.1)[:, None]).all()
    assert embedded[:, 0].sum() == row["embedded"] > 30
    assert f"one-layer@seven: {len(grid)} × 7 × 8" in wsitools("status", project).out[0]


def test_a_marker_is_what_plain_timm_gives_of_its_plane(wsitools, seven, csm, tmp_path):
    slide, _, _ = seven
    command = ("run", slide, "-o", tmp_path, *GRID, "--backbone", "timm:test_resnet")
    assert wsitools(*command, "--weights", "random:0", "--dtype", "float32").code == 0
    features, attributes, grid = stored(tmp_path)
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", pretrained=False, num_classes=0).eval()
    tile = np.flatnonzero(grid.tissue >= 0.1)[7]
    x, y = grid.xy[tile]
    for marker, rows in zip(attributes["markers"], features[tile], strict=True):
        plane = csm[0][csm[1].index(marker), y : y + 64, x : x + 64] / np.float32(255)
        grey = np.array(Image.fromarray(plane).resize((160, 160), Image.Resampling.BILINEAR))
        image = (torch.from_numpy(grey).expand(1, 3, -1, -1) - 0.5) / 0.5
        with torch.inference_mode():
            expected = network(image)[0].numpy()
        np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_channels_in_another_order_under_other_names_give_identical_features(
    wsitools, seven, write_channels, csm, panel, tmp_path
):
    planes, names = csm
    order = [4, 0, 6, 2, 5, 1, 3]
    renamed = [f"{names[place]}_STAIN" for place in order]
    slide = write_channels(tmp_path / "a.ome.tiff", planes[order], renamed)
    command = ("run", slide, "-o", tmp_path / "proj", "--panel", panel, *GRID, *LIGHT)
    assert wsitools(*command).code == 0
    expected, attributes, _ = stored(seven[1])
    features, others, _ = stored(tmp_path / "proj")
    np.testing.assert_array_equal(features, expected)
    assert others["request"]["channels"] == attributes["request"]["channels"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("DAPI,0,100,\nCD8a,3,200,DAPI\n", "found.CD8a.channel: 3 asked, 5 there"),
        ("DAPI,0,50,\nCD8a,5,200,DAPI\n", "found.CD8a.background_scale: 4.0 asked, 2.0 there"),
    ],
)
def test_a_panel_changed_under_its_name_is_another_request(
    wsitools, seven, tmp_path, changed, said
):
    panel = tmp_path / "study.csv"
    head = "marker_name,channel_index,exposure,background\n"
    panel.write_text(head + "DAPI,0,100,\nCD8a,5,200,DAPI\n")
    command = ("run", seven[0], "-o", tmp_path / "proj", "--panel", panel, *GRID, *LIGHT)
    assert wsitools(*command).code == 0
    assert "already done" in wsitools(*command).err
    panel.write_text(head + changed)
    refused = wsitools(*command)
    assert refused.code == 4
    assert said in refused.err


@pytest.mark.parametrize("rule", ["dtype", "percentile:1,99", "zscore"])
def test_a_brighter_slide_beside_it_changes_nothing(
    wsitools, seven, write_channels, csm, panel, tmp_path, rule
):
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    planes = csm[0].astype(np.uint16)
    slides = [
        write_channels(tmp_path / "a.ome.tiff", planes, csm[1]),
        write_channels(tmp_path / "b.ome.tiff", planes * 10, csm[1]),
    ]
    options = ("--panel", panel, *GRID, *LIGHT, "--normalize", rule)
    assert wsitools("run", slides[0], "-o", alone, *options).code == 0
    assert wsitools("run", slides[1], slides[0], "-o", beside, *options).code == 0
    np.testing.assert_array_equal(stored(beside)[0], stored(alone)[0])
    brighter = stored(beside, "b")[0]
    assert np.allclose(brighter, stored(alone)[0], atol=1e-4) == (rule != "dtype")


def test_a_marker_at_a_quarter_changes_its_own_features_and_no_others(
    wsitools, seven, write_channels, csm, panel, tmp_path
):
    planes, names = csm
    dimmed = planes.copy()
    dimmed[names.index("CD8a")] //= 4
    slide = write_channels(tmp_path / "a.ome.tiff", dimmed, names)
    whole = ("--panel", panel, *GRID, *LIGHT, "--method", "none")
    assert wsitools("run", seven[0], "-o", tmp_path / "before", *whole).code == 0
    assert wsitools("run", slide, "-o", tmp_path / "after", *whole).code == 0
    before, after = (stored(tmp_path / name)[0] for name in ("before", "after"))
    changed = (before != after).any(axis=(0, 2))
    assert [name for name, each in zip(names, changed, strict=True) if each] == ["CD8a"]


def test_a_cohorts_scale_is_that_of_the_slides_that_were_named(
    wsitools, write_channels, csm, panel, tmp_path
):
    planes = csm[0].astype(np.uint16)
    for name, factor in {"a": 1, "b": 10, "c": 3}.items():
        write_channels(tmp_path / "slides" / f"{name}.ome.tiff", planes * factor, csm[1])
    table = tmp_path / "fit.csv"
    table.write_text("slide_id\na\nc\n")
    options = ("--panel", panel, *GRID, *LIGHT, "--normalize", "zscore", "--normalize-fit", table)
    done = wsitools("run", tmp_path / "slides", "-o", tmp_path / "proj", *options)
    assert done.code == 0, done.err
    assert "one scale for all slides, measured on 2 slides" in done.err
    scales = [stored(tmp_path / "proj", name)[1]["statistics"] for name in "abc"]
    assert scales[0] == scales[1] == scales[2]
    assert scales[0]["slides"] == ["a", "c"]
    own = wsitools("run", tmp_path / "slides/a.ome.tiff", "-o", tmp_path / "own", *options[:-2])
    assert "erases how much of a marker one slide has" in own.err
    alone = stored(tmp_path / "own")[1]["statistics"]["markers"]["DAPI"]
    # Slides a and 3a: the mean is twice a's; the variance ((1 + 9)(s² + m²)) / 2 - (2m)².
    expected = np.sqrt(5 * (alone["span"] ** 2 + alone["low"] ** 2) - 4 * alone["low"] ** 2)
    both = scales[0]["markers"]["DAPI"]
    np.testing.assert_allclose([both["low"], both["span"]], [2 * alone["low"], expected])


def test_train_refuses_a_fold_that_tests_a_slide_of_the_scale(
    wsitools, write_channels, csm, panel, tmp_path
):
    names = [f"s{number}" for number in range(6)]
    for place, name in enumerate(names):
        planes = np.roll(csm[0][:, :256, :256], 8 * place, axis=2)
        write_channels(tmp_path / "slides" / f"{name}.ome.tiff", planes, csm[1])
    (tmp_path / "fit.csv").write_text("slide_id\ns0\ns1\n")
    fit = ("--normalize", "zscore", "--normalize-fit", tmp_path / "fit.csv")
    project = tmp_path / "proj"
    assert wsitools("run", tmp_path / "slides", "-o", project, *GRID, *LIGHT, *fit).code == 0
    rows = "".join(f"{name},p{name},{'ab'[place % 2]}\n" for place, name in enumerate(names))
    (tmp_path / "cohort.csv").write_text(f"slide_id,patient_id,grade\n{rows}")
    roles = {0: ["test", "test", "train", "train", "val", "val"]}
    roles[1] = ["train", "train", "val", "val", "test", "test"]
    lines = [
        f"{fold},{role},{name},p{name}\n"
        for fold, each in roles.items()
        for name, role in zip(names, each, strict=True)
    ]
    (tmp_path / "splits.csv").write_text("fold,role,slide_id,patient_id\n" + "".join(lines))
    command = (
        *("train", project, tmp_path / "cohort.csv", "--label", "grade", "--dry-run"),
        *("--splits", tmp_path / "splits.csv", "--model", "fluoroformer"),
    )
    refused = wsitools(*command)
    assert refused.code == 4
    assert "fold 0: its test slide s0 is among the --normalize-fit slides" in refused.err
    assert wsitools(*command, "--fold", "1").code == 0


def test_a_slide_that_lacks_a_marker_fails_alone_or_does_without(
    wsitools, write_channels, csm, panel, tmp_path
):
    planes, names = csm
    slides = [
        write_channels(tmp_path / "whole.ome.tiff", planes, names),
        write_channels(tmp_path / "less.ome.tiff", planes[:6], names[:6]),
    ]
    options = ("--panel", panel, *GRID, *LIGHT)
    refused = wsitools("run", *slides, "-o", tmp_path / "error", *options)
    assert refused.code == 3
    assert refused.out == [str(tmp_path / "error" / "whole.zarr")]
    assert "less.ome.tiff: of panel seven the slide lacks FOXP3; it has DAPI, PDL1" in refused.err
    for policy in ("zero", "drop"):
        command = ("run", *slides, "-o", tmp_path / policy, *options, "--missing-marker", policy)
        assert wsitools(*command).code == 0
    whole, _, _ = stored(tmp_path / "zero", "whole")
    zeros, attributes, _ = stored(tmp_path / "zero", "less")
    dropped, others, _ = stored(tmp_path / "drop", "less")
    assert attributes["markers"] == names
    assert attributes["missing"] == others["missing"] == ["FOXP3"]
    assert others["markers"] == names[:6]
    np.testing.assert_array_equal(zeros[:, 6], 0)
    np.testing.assert_array_equal(dropped, zeros[:, :6])
    assert zeros.shape[1:] == whole.shape[1:]


def test_slides_of_other_panels_are_no_cohort(wsitools, write_channels, csm, tmp_path):
    planes, names = csm
    for name in "acd":  # the channels of d lie the other way round, which matters to nobody
        way = -1 if name == "d" else 1
        path = tmp_path / "slides" / f"{name}.ome.tiff"
        write_channels(path, np.ascontiguousarray(planes[::way, :256]), names[::way])
    write_channels(tmp_path / "slides" / "b.ome.tiff", planes[1:, :256], ["CD3", *names[2:]])
    project = tmp_path / "proj"
    assert wsitools("run", tmp_path / "slides", "-o", project, *GRID, *LIGHT).code == 0
    table, splits = tmp_path / "cohort.csv", tmp_path / "splits.csv"
    table.write_text("slide_id,patient_id,grade\na,p,x\nb,q,y\nc,r,x\nd,s,y\n")
    splits.write_text(
        "fold,role,slide_id,patient_id\n0,train,a,p\n0,train,b,q\n0,val,c,r\n0,test,d,s\n"
    )
    command = ("train", project, table, "--label", "grade", "--splits", splits, "--dry-run")
    refused = wsitools(*command, "--model", "fluoroformer")
    assert refused.code == 4
    assert "slide b: beside a it lacks DAPI, PDL1 and has CD3; embed all slides with one" in (
        refused.err
    )


WAYS = {"mean": (8,), "concat": (56,), "rgb:CD8a,DAPI,PD1": (8,)}


def test_markers_are_told_together_where_one_vector_is_wanted(wsitools, seven, panel, tmp_path):
    project = shutil.copytree(seven[1], tmp_path / "proj")
    markers, _, _ = stored(project, name="one-layer@seven")
    command, found = ("embed", project, "--panel", panel, *LIGHT), {}
    for way, shape in WAYS.items():
        (row,) = wsitools(*command, "--channels-as", way, "--json").rows
        assert row["features"] == [f"one-layer@seven.{way.partition(':')[0]}"]
        found[way], _, _ = stored(project, name=row["features"][0])
        assert found[way].shape[1:] == shape
    np.testing.assert_allclose(found["mean"], markers.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(found["concat"], markers.reshape(-1, 56))


def test_the_fluoroformers_recipe_chooses_the_tiles_of_the_release_and_subtracts_the_last(
    wsitools, write_channels, golden_file, tmp_path
):
    with np.load(golden_file("fluoroformer_preproc")) as golden:
        planes, mask = golden["in/mif"][:7, :32, :40], golden["out/mif_mask"][..., 0]
    names = ("DAPI", "CD8", "FOXP3", "PD1", "PDL1", "CK", "autofluorescence")
    slide = write_channels(tmp_path / "a.ome.tiff", planes, names)
    scale = ("--mpp-override", "1", "--mpp", "1", "--tile-size", "8")
    command = ("run", slide, "-o", tmp_path / "proj", "--recipe", "fluoroformer", *scale, *LIGHT)
    done = wsitools(*command)
    assert done.code == 0, done.err
    assert "autofluorescence, the last, is taken for the background" in done.err
    features, attributes, grid = stored(tmp_path / "proj")
    seen = np.abs(features).sum(axis=(1, 2)) > 0
    np.testing.assert_array_equal(grid.index[seen], np.argwhere(mask))
    assert attributes["markers"] == sorted(names, key=str.casefold)
    assert attributes["channels"]["CD8"] == {
        "channel": 1, "background": 6, "background_scale": 1.0
    }  # fmt: skip
    assert attributes["channels"]["autofluorescence"]["background"] is None


@pytest.mark.faults
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(wsitools, start, seven, tmp_path):
    slide, _, _ = seven
    tiny = (*GRID[:4], "--tile-size", "8", "--method", "none", *LIGHT, "--min-tissue", "0")
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def chunks(project):
        found = project.glob("a.zarr/grids/*/features/*/c/*/0/0")
        return {path.parts[-3]: path.read_bytes() for path in found}

    assert wsitools("run", slide, "-o", whole, *tiny).code == 0
    with start("run", slide, "-o", killed, *tiny) as process:
        while not chunks(killed):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert stored_nothing(killed)
    again = wsitools("run", slide, "-o", killed, *tiny, "--json")
    assert again.rows[0]["stages"] == ["embed"]
    assert again.rows[0]["embedded"] < again.rows[0]["tiles"]
    assert len(chunks(whole)) == 4
    assert chunks(killed) == chunks(whole)


def stored_nothing(project):
    store = FeatureStore(project / "a.zarr")
    return all(not store.feature_names(key) for key in store.grid_keys())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--channels-as", "grey"), 2, "--channels-as grey: choose from per-channel, mean"),
        (("--channels-as", "rgb:DAPI,CD8a,CD45"), 2, "'CD45' is no marker of the panel; it has"),
        (("--background", "AF"), 2, "'AF' is no marker of the panel; it has DAPI"),
        (("--missing-marker", "drop", "--channels-as", "concat"), 2, "take --missing-marker zero"),
        (("--normalize", "minmax"), 2, "--normalize minmax is not known; use dtype"),
        (("--normalize-fit", "fit.csv"), 2, "--normalize dtype measures nothing on slides"),
        (("--recipe", "nobody"), 2, "--recipe nobody: choose from fluoroformer"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    wsitools, seven, panel, tmp_path, options, code, message
):
    refused = wsitools("run", seven[0], "-o", tmp_path, "--panel", panel, *GRID, *LIGHT, *options)
    assert (refused.code, refused.out) == (code, [])
    assert message in refused.err


def test_channels_that_say_nothing_are_named(wsitools, write_channels, csm, panel, tmp_path):
    planes = csm[0].copy()
    planes[1], planes[2], planes[3] = 0, 9, 255
    slide = write_channels(tmp_path / "a.ome.tiff", planes, csm[1])
    command = (
        "run",
        slide,
        "-o",
        tmp_path / "proj",
        "--panel",
        panel,
        *LIGHT,
        "--method",
        "nuclear",
    )
    done = wsitools(*command, *GRID[:-2], "--normalize", "percentile:1,99", "--json")
    assert done.code == 0, done.err
    told = [text for text in done.rows[0]["warnings"] if " is " in text]
    assert told == [
        "PDL1 is empty: 0 in every tile",
        "GZMB is constant: 9 wherever it is not 0",
        "PD1 is constant: 255 wherever it is not 0",
    ]
    assert np.isfinite(stored(tmp_path / "proj")[0]).all()


def test_a_faster_downsample_is_said_to_be_nothing_to_markers(wsitools, seven, panel, tmp_path):
    slide, project, _ = seven
    command = ("run", slide, "-o", tmp_path, "--panel", panel, *GRID, *LIGHT)
    done = wsitools(*command, "--fast-downsample", "--json")
    assert "--fast-downsample is for brightfield" in done.err
    np.testing.assert_array_equal(stored(tmp_path)[0], stored(project)[0])


def test_a_panel_is_refused_for_a_slide_in_colour(wsitools, small_slide, panel, tmp_path):
    refused = wsitools("run", small_slide, "-o", tmp_path, "--panel", panel, *LIGHT)
    assert refused.code == 3
    assert "square.tiff: is brightfield, and a panel is of a multiplex slide's" in refused.err


def test_a_dry_run_foresees_the_bytes_of_all_markers(wsitools, seven, panel):
    slide, project, row = seven
    command = ("run", slide, "-o", project.parent / "none", "--panel", panel, *GRID, *LIGHT)
    (seen,) = wsitools(*command, "--dry-run", "--json").rows
    assert seen["bytes"] == row["tiles"] * 7 * 8 * 4


def test_new_slides_are_prepared_with_the_markers_and_the_scale_of_the_training_slides(
    wsitools, write_channels, csm, panel, tmp_path
):
    planes, names = csm
    for place in range(6):
        piece = np.roll(planes[:, :256, :256], 8 * place, axis=2) * np.uint16(1 + place % 2)
        write_channels(tmp_path / "slides" / f"s{place}.ome.tiff", piece, names)
    (tmp_path / "fit.csv").write_text("slide_id\ns2\ns3\n")
    fit = ("--normalize", "zscore", "--normalize-fit", tmp_path / "fit.csv")
    options = ("--panel", panel, "--background", "FOXP3:0.5", *GRID, *LIGHT, *fit)
    project = tmp_path / "proj"
    assert wsitools("run", tmp_path / "slides", "-o", project, *options).code == 0
    rows = "".join(f"s{place},p{place},{'ab'[place % 2]}\n" for place in range(6))
    (tmp_path / "cohort.csv").write_text(f"slide_id,patient_id,grade\n{rows}")
    roles = ["test", "test", "train", "train", "val", "val"]
    lines = [f"0,{role},s{place},p{place}\n" for place, role in enumerate(roles)]
    (tmp_path / "splits.csv").write_text("fold,role,slide_id,patient_id\n" + "".join(lines))
    run = ("train", project, tmp_path / "cohort.csv", "--label", "grade", "-o", tmp_path / "run")
    how = ("--splits", tmp_path / "splits.csv", "--model", "fluoroformer", "--epochs", "1")
    trained = wsitools(*run, *how)
    assert trained.code == 0, trained.err
    new = write_channels(
        tmp_path / "s9.ome.tiff", planes[:, 200:456, 200:456].astype(np.uint16), names
    )
    predicted = ("predict", tmp_path / "run", new, "--from-slides", "-o", tmp_path / "preds.csv")
    done = wsitools(*predicted, "--mpp-override", "0.65")
    assert done.code == 0, done.err
    _, training, _ = stored(project, "s0")
    _, attributes, _ = stored(tmp_path / "preds.stores", "s9")
    assert attributes["markers"] == names[:6]
    for name in ("panel", "statistics", "cohort"):
        assert attributes[name] == training[name]
    assert attributes["request"]["channels"] == training["request"]["channels"]


@pytest.mark.slow
def test_12000_by_12000_pixels_of_8_markers_need_1500_mb_above_the_imports(start, tmp_path):
    """2.3 GB of pixels, ResNet50, a thin grid; the imports of one process are measured beside."""
    import psutil

    texture = np.random.default_rng(10).integers(1, 4_000, (512, 512)).astype("uint16")
    tiles = (texture + np.uint16(place % 997) for place in range(8 * 24 * 24))
    names = [f"M{place}" for place in range(8)]
    tifffile.imwrite(
        tmp_path / "a.ome.tiff", tiles, shape=(8, 12_000, 12_000), dtype="uint16",
        tile=(512, 512), photometric="minisblack",
        metadata={"axes": "CYX", "Channel": {"Name": names}},
    )  # fmt: skip
    squares = [[(x, x), (x + 250, x), (x + 250, x + 250), (x, x)] for x in range(99, 11_000, 1_100)]
    thin = {"type": "MultiPolygon", "coordinates": [[square] for square in squares]}
    (tmp_path / "thin.geojson").write_text(json.dumps(thin))
    options = ("--method", "none", "--roi", tmp_path / "thin.geojson", "--mpp-override", "0.5")
    scale = ("--normalize", "percentile:1,99", "--weights", "random:0", "--min-tissue", "0.2")
    peak = 0
    with start("run", tmp_path / "a.ome.tiff", "-o", tmp_path / "proj", *options, *scale) as run:
        family = psutil.Process(run.pid)
        while run.poll() is None:
            peak = max(peak, sum(map(resident, [family, *family.children(recursive=True)])))
            time.sleep(0.1)
        _, told = run.communicate()
    assert run.returncode == 0, told
    assert np.count_nonzero(stored(tmp_path / "proj")[0].any(axis=(1, 2))) >= 10
    assert peak - imported_bytes() < 1.5e9


def imported_bytes():
    """Bytes in memory of a process that has but imported what a worker does."""
    rooms = "wsi_tools.embedding.backbones, wsi_tools.preparation.stages, timm"
    told = f"import resource, {rooms}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def resident(process):
    """Bytes in memory; none of a process that has just ended."""
    import psutil

    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
