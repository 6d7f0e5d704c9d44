"""Manners that every verb has: inputs, streams, configuration, exit codes of a misuse."""

import csv
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wsi_tools.store import FeatureStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiled(wsitools, small_slide, tmp_path_factory):
    """(project, what the command left): the square, tiled."""
    project = tmp_path_factory.mktemp("tiled") / "proj"
    return project, wsitools("tile", small_slide, "-o", project, "--json")


def test_stdout_holds_paths_alone_and_stderr_one_line_per_slide(wsitools, small_slide, tmp_path):
    done = wsitools("tile", small_slide, "-o", tmp_path / "proj")
    assert done.code == 0
    assert done.out == [str(tmp_path / "proj" / "square.zarr")]
    assert done.err.splitlines() == [
        "square: done, 0.1475 mm² of tissue, 16 of 16 tiles with enough of it"
    ]


def test_a_line_of_json_says_what_became_of_a_slide(tiled):
    project, done = tiled
    assert done.rows == [
        {
            "slide_id": "square",
            "store": str(project / "square.zarr"),
            "tissue_mm2": 0.1475,
            "grid": "mpp0.5-px256-ov0",
            "tiles": 16,
            "tiles_with_tissue": 16,
            "features": [],
            "stages": ["segment", "tile"],
            "embedded": 0,
            "unread": 0,
            "seconds": {},
            "warnings": [],
        }
    ]


def test_verbs_chain_in_a_shell(environment, write_slide, tissue, tmp_path):
    (tmp_path / "slides").mkdir()
    for name in "ab":
        write_slide(tmp_path / "slides" / f"{name}.tif", tissue)
    (tmp_path / "slides" / "c.svs").write_bytes(b"")
    wsitools = f"{sys.executable} {ROOT / 'cli.py'}"
    line = (
        f"{wsitools} tile slides/* -o proj "
        f"| {wsitools} embed - --backbone one-layer --weights random:0"
    )
    done = subprocess.run(
        ["sh", "-c", line],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["proj/a.zarr", "proj/b.zarr"]
    assert "failed: c: open: c.svs: no reader could open it" in done.stderr
    for path in done.stdout.splitlines():
        features = FeatureStore(tmp_path / path).features("mpp0.5-px256-ov0", "one-layer")
        assert features.shape == (16, 8)


def test_a_bug_is_one_line_until_its_origin_is_asked_for(wsitools, small_slide, tmp_path):
    command = ("tile", small_slide, "-o", tmp_path / "proj", "--reader", "buggy")
    plain, traced = wsitools(*command), wsitools(*command, "-v")
    assert (plain.code, traced.code) == (3, 3)
    assert plain.err.splitlines() == [
        "failed: square: segment: ZeroDivisionError: division by zero",
        "error: 1 slide failed",
    ]
    assert "in read\n" in traced.err


def test_coordinates_stream_to_stdout_in_the_place_of_paths(wsitools, tiled):
    project, _ = tiled
    table = list(csv.DictReader(wsitools("tile", project, "--coords", "csv").out))
    lines = wsitools("tile", project, "--coords", "jsonl").rows
    assert table[5] == {
        "slide_id": "square", "x": "256", "y": "256", "row": "1", "column": "1", "tissue": "1.0",
    }  # fmt: skip
    assert lines[5] == {
        "slide_id": "square", "x": 256, "y": 256, "row": 1, "column": 1, "tissue": 1.0,
    }  # fmt: skip
    assert len(table) == len(lines) == 16


def test_paths_come_from_patterns_folders_and_stdin_alike(wsitools, write_slide, tissue, tmp_path):
    (tmp_path / "below").mkdir()
    slides = [write_slide(tmp_path / name, tissue) for name in ("a.tif", "b.tif", "below/c.tif")]
    (tmp_path / "notes.txt").write_text("no slide")

    def seen(*arguments, **options):
        done = wsitools("info", *arguments, "--json", **options)
        assert done.code == 0
        return [row["slide_id"] for row in done.rows], done.err

    assert seen(f"{tmp_path}/*.tif")[0] == ["a", "b"]
    assert seen("-", stdin="".join(f"{slide}\n" for slide in slides))[0] == ["a", "b", "c"]
    assert seen(tmp_path, "-r")[0] == ["a", "b", "c"]
    names, told = seen(tmp_path)
    assert names == ["a", "b"]
    assert told == f"warning: {tmp_path}/notes.txt: no reader knows this suffix; left out\n"


def test_what_matches_nothing_is_exit_4(wsitools, tmp_path):
    nothing = wsitools("tile", tmp_path, "-o", tmp_path / "proj")
    pattern = wsitools("tile", tmp_path / "*.svs", "-o", tmp_path / "proj")
    assert (nothing.code, pattern.code) == (4, 4)
    assert nothing.err == "error: no slide and no store among the inputs; check the paths\n"
    assert pattern.err == f"error: {tmp_path}/*.svs: matches no file; check the pattern\n"
    assert not (tmp_path / "proj").exists()


def test_a_manifest_names_slides_and_their_scale(wsitools, write_slide, tissue, tmp_path):
    write_slide(tmp_path / "unscaled.tif", tissue, mpp=None)
    manifest = tmp_path / "slides.csv"
    manifest.write_text("path,slide_id,mpp\nunscaled.tif,case-7,0.25\n")
    done = wsitools("tile", "--manifest", manifest, tmp_path, "-o", tmp_path / "proj")
    assert (done.code, done.out) == (0, [str(tmp_path / "proj" / "case-7.zarr")])
    record = FeatureStore(done.out[0]).record
    assert (record.mpp_x, record.mpp_source) == (0.25, "manifest")


def test_the_list_of_failures_is_a_manifest_for_slides_and_for_projects(
    wsitools, write_slide, tissue, tmp_path
):
    slide = write_slide(tmp_path / "unscaled.tif", tissue, mpp=None)
    project = tmp_path / "proj"
    failures = project / "failures.csv"
    assert wsitools("tile", slide, "-o", project).code == 3
    (row,) = csv.DictReader(failures.read_text().splitlines())
    assert row == {
        "slide_id": "unscaled",
        "path": str(slide),
        "stage": "open",
        "error": "SlideError",
        "message": "unscaled.tif: no resolution in the file; give it with --mpp-override 0.25",
    }
    again = wsitools("tile", "--manifest", failures, "-o", project)
    assert again.code == 3
    mended = wsitools("tile", project, "--manifest", failures, "--mpp-override", "0.5")
    assert (mended.code, mended.out) == (0, [str(project / "unscaled.zarr")])
    assert not failures.exists()


def test_a_project_stands_for_its_stores_and_a_manifest_chooses_among_them(
    wsitools, write_slide, tissue, tmp_path
):
    slides = [write_slide(tmp_path / f"{name}.tif", tissue) for name in "ab"]
    project, manifest = tmp_path / "proj", tmp_path / "one.csv"
    wsitools("segment", *slides, "-o", project)
    manifest.write_text("path\nb.tif\n")
    assert wsitools("tile", project, "--manifest", manifest).out == [str(project / "b.zarr")]
    assert wsitools("tile", project).out == [str(project / "a.zarr"), str(project / "b.zarr")]
    elsewhere = wsitools("tile", project, "-o", tmp_path / "other")
    assert elsewhere.code == 2
    assert elsewhere.err == (
        f"error: {project}/a.zarr: is not in {tmp_path}/other, and stores stay where they are; "
        "leave --out away, or name the slides\n"
    )


def test_what_is_printed_as_configuration_is_a_configuration(in_process, tmp_path):
    typed = ("--mpp", "0.25", "--roi", "inside", "--no-overlay", "--backbone", "uni")
    printed = in_process("run", "a.svs", "-o", "proj", *typed, "--print-config").stdout
    resolved = tomllib.loads(printed)
    assert resolved["run"]["mpp"] == 0.25
    assert resolved["run"]["slides"] == ["a.svs"]
    assert resolved["run"]["tile_size"] == 256
    file = tmp_path / "run.toml"
    file.write_text(printed)
    for arguments in (("--config", file, "run"), ("run", "--config", file)):
        assert in_process(*arguments, "--print-config").stdout == printed


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(
    in_process, monkeypatch, tmp_path
):
    file = tmp_path / "some.toml"
    file.write_text("[tile]\nmpp = 2.0\ntile-size = 512\n[embed]\ndtype = 'float32'\n")

    def tile(*arguments):
        done = in_process("--config", file, "tile", *arguments, "--print-config")
        return tomllib.loads(done.stdout)["tile"]

    assert (tile()["mpp"], tile()["tile_size"], tile()["overlap"]) == (2.0, 512, "0")
    monkeypatch.setenv("WSITOOLS_TILE_MPP", "4")
    assert tile()["mpp"] == 4.0
    assert tile("--mpp", "8")["mpp"] == 8.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tile]\nmppp = 1\n", "[tile] has no option 'mppp'"),
        ("[tiles]\nmpp = 1\n", "[tiles] is no verb of wsitools"),
        ("mpp = 1\n", "[mpp] is no verb of wsitools"),
        ("[tile\n", "not TOML"),
    ],
)
def test_a_misspelt_configuration_is_a_misuse(in_process, tmp_path, text, complaint):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    for arguments in (("--config", file, "tile"), ("tile", "--config", file)):
        done = in_process(*arguments, "a.svs", "-o", tmp_path / "proj")
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {file}: {complaint}")
    assert not (tmp_path / "proj").exists()


@pytest.mark.parametrize("verb", ["segment", "tile", "embed", "run"])
def test_a_path_where_nothing_is_is_not_called_a_slide(in_process, tmp_path, verb):
    done = in_process(verb, str(tmp_path / "projct"))
    assert done.exit_code == 4
    assert f"{tmp_path / 'projct'}: no slide, store or project there" in done.stderr


def test_the_resolved_configuration_is_in_the_store(wsitools, small_slide, tmp_path):
    file = tmp_path / "some.toml"
    file.write_text("[tile]\nmin-tissue = 0.5\n")
    project = tmp_path / "proj"
    done = wsitools("tile", small_slide, "-o", project, "--mpp", "2", "--config", file)
    command = json.loads((project / "square.zarr" / "zarr.json").read_text())
    made_by = command["attributes"]["wsitools"]["made_by"]
    assert done.code == 0
    assert made_by["command"]["verb"] == "tile"
    assert made_by["command"]["options"]["mpp"] == 2.0
    assert made_by["command"]["options"]["min_tissue"] == 0.5
    assert made_by["command"]["options"]["mpp_tolerance"] == 0.001


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tile", "SLIDE"], "is a slide; say where its store goes with --out"),
        (["tile", "SLIDE", "-o", "P", "--mpp", "fine"], "Invalid value for '--mpp'"),
        (["tile", "SLIDE", "-o", "P", "--mpp", "-1"], "--mpp -1 is no resolution"),
        (["tile", "SLIDE", "-o", "P", "--mag", "20", "--mpp", "1"], "keep --mpp 0.5"),
        (["tile", "SLIDE", "-o", "P", "--overlap", "half"], "--overlap half: give px"),
        (["tile", "SLIDE", "-o", "P", "--overlap", "100%"], "does not fit in tiles of 256 px"),
        (["tile", "SLIDE", "-o", "P", "--workers", "0"], "Invalid value for '--workers'"),
        (["tile", "SLIDE", "-o", "P", "--shard", "4/4"], "--shard 4/4: give I/N"),
        (["tile", "SLIDE", "-o", "P", "--time-limit", "soon"], "--time-limit soon"),
        (["tile", "SLIDE", "-o", "P", "--reader", "bioformats"], "--reader bioformats: choose"),
        (["tile", "SLIDE", "-o", "P", "--mpp-override", "99"], "--mpp-override 99: 99 µm/px"),
        (["segment", "SLIDE", "-o", "P", "--method", "magic"], "--method magic: choose from auto"),
        (["segment", "SLIDE", "-o", "P", "--preset", "dab"], "--preset dab: choose from he, ihc"),
        (["run", "SLIDE", "-o", "P", "--until", "train"], "--until train: choose from segment"),
        (["run", "SLIDE", "-o", "P", "--backbone", "resnet5"], "resnet5: no such backbone"),
        (["run", "SLIDE", "-o", "P", "--dtype", "int8"], "--dtype int8: choose from float16"),
        (["run", "SLIDE", "-o", "P", "--max-bad-tiles", "2"], "--max-bad-tiles 2: give a share"),
        (["run", "SLIDE", "-o", "P", "--weights", "a", "--weights", "b"], "2 --weights for 1"),
        (["run", "SLIDE", "-o", "P", *["--backbone", "uni"] * 2], "give each once"),
        (["run", "SLIDE", "-o", "P", "--backbone", "uni", "--mpp", "1"], "made for 0.45 to 0.55"),
        (["tile", "SLIDE", "-o", "P", "--tilesize", "1"], "No such option: --tilesize"),
        (["tiel"], "No such command 'tiel'"),
    ],
)
def test_a_misuse_is_exit_2_in_one_message_and_writes_nothing(
    in_process, small_slide, tmp_path, arguments, complaint
):
    places = {"SLIDE": str(small_slide), "P": str(tmp_path / "proj")}
    done = in_process(*(places.get(each, each) for each in arguments))
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "proj").exists()


def test_a_magnification_is_said_to_be_a_resolution(wsitools, small_slide, tmp_path):
    done = wsitools("tile", small_slide, "-o", tmp_path / "proj", "--mag", "10", "--json")
    assert done.rows[0]["grid"] == "mpp1.0-px256-ov0"
    assert done.err.startswith("--mag 10 means --mpp 1\n")


def test_shards_share_the_slides_out(wsitools, write_slide, tissue, tmp_path):
    for name in "abc":
        write_slide(tmp_path / f"{name}.tif", tissue)

    def share(shard, **options):
        arguments = ("segment", tmp_path, "-o", tmp_path / "proj", "--json", "--shard", shard)
        return [row["slide_id"] for row in wsitools(*arguments, **options).rows]

    slurm = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
    assert share("0/2") == ["a", "c"]
    assert share("auto", env=slurm) == ["b"]


def test_fail_fast_leaves_the_rest_undone(wsitools, write_slide, tissue, tmp_path):
    (tmp_path / "a.svs").write_bytes(b"")
    write_slide(tmp_path / "b.tif", tissue)
    done = wsitools("tile", tmp_path, "-o", tmp_path / "proj", "--fail-fast")
    assert (done.code, done.out) == (3, [])


def test_info_gives_every_candidate_for_the_resolution_and_the_one_that_won(wsitools, svs):
    (row,) = wsitools("info", svs, "--json", "--mpp-override", "0.25", "--tile-size", "256").rows
    assert [(each["source"], each["mpp_x"]) for each in row["resolutions"]] == [
        ("--mpp-override", 0.25), ("openslide.mpp-x", 0.499), ("aperio.MPP", 0.499),
    ]  # fmt: skip
    assert row["resolution"]["source"] == "--mpp-override"
    assert row["reader"] == "tiff"
    assert row["layout"] == {"tile_px": [240, 240], "compression": "jpeg rgb"}
    assert row["read"]["level0_px"] == [512.0, 512.0]
    assert any("0.499" in warning for warning in row["warnings"])


def test_info_describes_a_slide_of_unknown_scale_and_says_what_is_missing(wsitools, test_data, svs):
    unknown = test_data / "vendors" / "cmu1-generic-nompp.tiff"
    done = wsitools("info", unknown, svs, "--tile-size", "256", "--mpp", "0.1")
    text = "\n".join(done.out)
    assert done.code == 0
    assert "  mpp: unknown; give it with --mpp-override 0.25" in text
    assert "  tiles: none (cmu1-generic-nompp.tiff: no resolution in the file; " in text
    assert "  tiles: none (cmu-1-small-region.svs: its finest pixels are 0.499 µm" in text


def test_status_says_what_stores_hold_and_what_failed(wsitools, tiled, tmp_path):
    project, _ = tiled
    done = wsitools("status", project)
    (row,) = wsitools("status", project, "--json").rows
    assert done.out == ["square\ttissue\tmpp0.5-px256-ov0: 16 tiles"]
    assert done.err == "1 store, 0 failures\n"
    assert row == {
        "slide_id": "square",
        "tissue": True,
        "grids": {"mpp0.5-px256-ov0": {"tiles": 16, "features": {}}},
        "mpp": row["mpp"],
    }
    assert wsitools("status", tmp_path / "nowhere").code == 4


def test_backbones_are_listed_and_described(in_process):
    names = [line.split()[0] for line in in_process("backbones").stdout.splitlines()]
    described = in_process("backbones", "uni").stdout.splitlines()
    card = json.loads(in_process("backbones", "resnet50", "--json").stdout)
    assert names[:3] == ["resnet50", "resnet50-full", "uni"]
    assert "mpp: 0.45, 0.55" in described
    assert "licence: CC-BY-NC-ND-4.0" in described
    assert card["width"] == 1024
    assert in_process("backbones", "resnet").exit_code == 2
