"""Format 1: what lies on the disk, and that plain Zarr reads it."""

import json
import shutil
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from scene import CHUNK, SLIDE, TISSUE, Scene, grid_of, rows_of, tree

from wsi_tools.errors import DataError, StoreError
from wsi_tools.store import FeatureStore, torn
from wsi_tools.store.layout import read_root
from wsi_tools.store.requests import fingerprint


def chunk_files(array: Path) -> set[str]:
    return set(tree(array / "c"))


def written(scene: Scene, shape: tuple[int, ...], rows: np.ndarray | None = None) -> Path:
    """Write features of a shape; give the folder of their array."""
    values = rows_of(shape) if rows is None else rows
    with scene.writer() as writer:
        writer.claim(SLIDE)
        writer.write_grid("grid", grid_of(shape[0]), scene.request("grid"))
        features = writer.features("grid", "net", scene.request("net"))
        features.open(shape, "float16")
        for start in range(0, shape[0], CHUNK):
            features.append(start, values[start : start + CHUNK])
        features.commit({})
    return scene.store.path / "grids/grid/features/net"


def test_a_store_holds_the_documented_files_and_nothing_else(scene):
    scene.write()
    assert set(tree(scene.store.path)) == {
        "zarr.json",
        "tissue/zarr.json",
        "tissue/mask/zarr.json",
        "tissue/mask/c/0/0",
        "tissue/thumbnail/zarr.json",
        "tissue/thumbnail/c/0/0/0",
        "grids/zarr.json",
        "grids/grid/zarr.json",
        "grids/grid/coords/zarr.json",
        "grids/grid/coords/c/0/0",
        "grids/grid/grid_index/zarr.json",
        "grids/grid/grid_index/c/0/0",
        "grids/grid/tissue/zarr.json",
        "grids/grid/tissue/c/0",
        "grids/grid/valid/zarr.json",
        "grids/grid/valid/c/0",
        "grids/grid/features/zarr.json",
        "grids/grid/features/plain/zarr.json",
        "grids/grid/features/plain/c/0/0",
        "grids/grid/features/plain/c/1/0",
        "grids/grid/features/plain.v2@panel/zarr.json",
        "grids/grid/features/plain.v2@panel/c/0/0/0",
        "grids/grid/features/plain.v2@panel/c/1/0/0",
    }


def test_the_root_says_what_status_needs(scene):
    scene.write()
    root = read_root(scene.store.path)
    assert root["format"] == 1
    assert root["slide"]["mpp_x"] == 0.25
    assert root["slide"]["size"] == [40_000, 30_000]
    assert root["summary"] == {
        "tissue": True,
        "grids": {
            "grid": {
                "tiles": 1100,
                "features": {"plain": [1100, 4], "plain.v2@panel": [1100, 2, 3]},
            }
        },
    }
    assert len(root["manifest"]) == 12  # every zarr.json but its own


@pytest.mark.parametrize("tail", [(5,), (3, 2)])
@pytest.mark.parametrize("rows", [0, 1, 1023, 1024, 1025, 3000])
def test_plain_zarr_reads_features_of_any_length(scene, rows, tail):
    values = rows_of((rows, *tail))
    folder = written(scene, values.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = zarr.open(scene.store.path, mode="r")
        array = root["grids/grid/features/net"]
        assert sorted(root.group_keys()) == ["grids"]
        np.testing.assert_array_equal(array[...], values.astype(np.float16))
    assert len(chunk_files(folder)) == -(-rows // 1024)
    assert torn(scene.store.path) == ()


def test_chunks_are_1024_rows_little_endian_with_a_crc32c_behind(scene):
    values = rows_of((3000, 5))
    folder = written(scene, values.shape)
    first = (folder / "c/1/0").read_bytes()
    assert first[:-4] == values[1024:2048].astype("<f2").tobytes()
    assert len(first) == 1024 * 5 * 2 + 4
    meta = json.loads((folder / "zarr.json").read_text())
    assert meta["chunk_grid"]["configuration"]["chunk_shape"] == [1024, 5]
    assert [codec["name"] for codec in meta["codecs"]] == ["bytes", "crc32c"]


def test_an_index_of_65536_tiles_is_one_file_and_of_one_more_two(scene):
    with scene.writer() as writer:
        writer.claim(SLIDE)
        writer.write_grid("one", grid_of(65_536), scene.request("one"))
        writer.write_grid("two", grid_of(65_537), scene.request("two"))
    for name in ("coords", "grid_index", "tissue", "valid"):
        assert len(chunk_files(scene.store.path / "grids/one" / name)) == 1
        assert len(chunk_files(scene.store.path / "grids/two" / name)) == 2


def test_chunks_of_zeros_are_written(scene):
    folder = written(scene, (2048, 5), np.zeros((2048, 5), np.float32))
    assert chunk_files(folder) == {"0/0", "1/0"}


def test_a_grid_and_its_tissue_come_back_as_they_were_written(scene):
    scene.write()
    grid, tissue, asked = scene.store.grid("grid"), scene.store.tissue(), grid_of(1100)
    for name in ("xy", "index", "tissue"):
        np.testing.assert_array_equal(getattr(grid, name), getattr(asked, name))
    assert (grid.spec, grid.step, grid.anchor) == (asked.spec, (512.0, 512.0), (0, 0))
    np.testing.assert_array_equal(tissue.mask, TISSUE.mask)
    np.testing.assert_array_equal(tissue.thumbnail, TISSUE.thumbnail)
    assert tissue.outlines.equals(TISSUE.outlines)
    assert scene.store.slide == replace(SLIDE, path=SLIDE.path.absolute())


def test_tiles_that_could_not_be_read_are_marked_once_and_for_all(scene):
    scene.write()
    assert np.flatnonzero(~scene.store.valid("grid")).tolist() == [0, 1000]


def test_a_store_reads_the_same_wherever_it_lies(scene, tmp_path):
    scene.write()
    place = tmp_path / "elsewhere" / "renamed.zarr"
    shutil.copytree(scene.store.path, place)
    shutil.rmtree(scene.project)
    moved = FeatureStore(place)
    assert moved.slide_id == "renamed"
    assert moved.feature_names("grid") == ("plain", "plain.v2@panel")
    np.testing.assert_array_equal(moved.features("grid", "plain")[...], rows_of((1100, 4)))
    assert torn(place) == ()


def test_no_file_is_a_pickle(scene):
    scene.write()
    texts = {name: file for name, file in tree(scene.store.path).items() if name.endswith(".json")}
    for file in texts.values():
        json.loads(file, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    for name in tree(scene.store.path).keys() - texts.keys():
        assert "/c/" in name


def test_attributes_with_nan_are_refused(scene):
    with scene.writer() as writer:
        writer.claim(SLIDE)
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.write_grid("grid", grid_of(3), {"mpp": float("nan")})
    assert scene.store.grid_keys() == ()


def test_a_value_too_large_for_float16_names_the_tile_and_the_remedy(scene):
    rows = rows_of((1100, 4))
    rows[1030, 2] = 70_000
    with pytest.raises(DataError, match=r"net of tile 1030 does not fit float16.*--dtype float32"):
        written(scene, rows.shape, rows)
    assert scene.store.feature_names("grid") == ()


def test_a_value_that_is_no_number_names_the_tile(scene):
    rows = rows_of((1100, 4))
    rows[7, 0] = np.nan
    with pytest.raises(DataError, match="net of tile 7 is not finite; check the weights"):
        written(scene, rows.shape, rows)


def test_features_with_rows_missing_are_not_committed(scene):
    with scene.writer() as writer:
        scene.lay(writer)
        features = writer.features("grid", "net", scene.request("net"))
        features.open((1100, 4), "float16")
        features.append(0, rows_of((1024, 4)))
        with pytest.raises(StoreError, match="net ends at tile 1024"):
            features.commit({})
        with pytest.raises(ValueError, match="not one chunk"):
            features.append(1024, rows_of((75, 4)))


def test_the_same_request_finds_its_work_done(scene):
    assert scene.write() == 4
    before = tree(scene.project)
    assert scene.write() == 0
    assert tree(scene.project) == before


@pytest.mark.parametrize("tuples", [True, False])
def test_a_request_is_equal_before_and_after_json(scene, tuples):
    kept = {"pairs": [[1, 2], [3, 4]], "mpp": 0.5}
    asked = {"pairs": ((1, 2), (3, 4)), "mpp": 0.5} if tuples else kept
    assert fingerprint(asked) == fingerprint(kept)
    with scene.writer() as writer:
        writer.claim(SLIDE)
        writer.write_grid("grid", grid_of(3), kept)
        assert writer.has_grid("grid", asked)


def test_another_request_is_refused_with_its_difference(scene):
    scene.write()
    other = Scene(scene.project, edition=2)
    with pytest.raises(
        StoreError,
        match=r"case.zarr: .* the tissue there \(edition: 2 asked, 1 there\).*--overwrite",
    ):
        other.write()
    with scene.writer() as writer, pytest.raises(StoreError, match=r"the grid grid .*edition: 2"):
        writer.has_grid("grid", other.request("grid"))
    with scene.writer() as writer, pytest.raises(StoreError, match=r"the features plain .*edition"):
        writer.has_features("grid", "plain", other.request("plain"))
    assert torn(scene.store.path) == ()


def test_overwriting_leaves_nothing_of_what_was_there(scene, tmp_path):
    Scene(scene.project, tiles=2500).write()
    scene_2 = Scene(scene.project, edition=2)
    scene_2.write(overwrite=True)
    fresh = Scene(tmp_path / "fresh", edition=2)
    fresh.write()
    assert tree(scene.project) == tree(fresh.project)


def test_half_written_features_of_another_request_are_refused_or_begun_again(scene):
    other = Scene(scene.project, edition=2)
    with scene.writer() as writer:
        scene.lay(writer)
        begun = writer.features("grid", "net", scene.request("net"))
        begun.open((1100, 4), "float16")
        begun.append(0, rows_of((1024, 4)))
    with scene.writer() as writer:
        features = writer.features("grid", "net", other.request("net"))
        with pytest.raises(
            StoreError, match=r"half-written features net .*edition: 2 asked, 1 there"
        ):
            features.open((1100, 4), "float16")
        assert (
            writer.features("grid", "net", scene.request("net")).open((1100, 4), "float16") == 1024
        )
    with scene.writer(overwrite=True) as writer:
        assert writer.features("grid", "net", other.request("net")).open((1100, 4), "float16") == 0
    assert len(list(scene.store.path.glob("grids/grid/features/.*"))) == 1


def test_unreadable_tiles_are_forgotten_with_the_last_features_that_met_them(scene):
    with scene.writer() as writer:
        scene.lay(writer)
        begun = [writer.features("grid", name, scene.request(name)) for name in ("one", "two")]
        for features in begun:
            features.open((1100, 4), "float16")
            features.mark_invalid(np.array([3]))
        begun[0].abandon()
        assert np.flatnonzero(~scene.store.valid("grid")).tolist() == [3]
        begun[1].abandon()
        assert scene.store.valid("grid").all()
    assert [name for name in tree(scene.store.path) if "/." in name] == []


def test_half_written_features_are_not_mistaken_for_those_of_a_longer_name(scene):
    with scene.writer() as writer:
        scene.lay(writer)
        longer = writer.features("grid", "net.v2", scene.request("net.v2"))
        longer.open((1100, 4), "float16")
        longer.append(0, rows_of((1024, 4)))
    with scene.writer() as writer:
        assert writer.features("grid", "net", scene.request("net")).open((1100, 4), "float16") == 0
        again = writer.features("grid", "net.v2", scene.request("net.v2"))
        assert again.open((1100, 4), "float16") == 1024


def test_a_flipped_byte_anywhere_is_found(scene):
    scene.write()
    rng = np.random.default_rng(0)
    for name, content in tree(scene.store.path).items():
        for place in {0, len(content) - 1, *rng.integers(len(content), size=6).tolist()}:
            file = scene.store.path / name
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(changed)
            assert torn(scene.store.path) != (), f"byte {place} of {name}"
            file.write_bytes(content)
    assert torn(scene.store.path) == ()


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_file_that_is_missing_or_empty_is_found(scene, damage):
    scene.write()
    for name, content in tree(scene.store.path).items():
        file = scene.store.path / name
        damage(file)
        assert torn(scene.store.path) != (), name
        file.write_bytes(content)


def test_writing_forty_chunks_holds_but_a_few_in_memory(scene):
    assert peak_of_writing(scene, "net", chunks=40) < 5 * CHUNK * 1024 * 2


def peak_of_writing(scene: Scene, name: str, chunks: int) -> int:
    """The most bytes at once while so many chunks of 2 MiB are written."""
    rows = np.ones((CHUNK, 1024), np.float32)
    with scene.writer() as writer:
        writer.claim(SLIDE)
        writer.write_grid(name, grid_of(chunks * CHUNK), scene.request(name))
        features = writer.features(name, "net", scene.request(name))
        features.open((chunks * CHUNK, 1024), "float16")
        tracemalloc.start()
        for start in range(0, chunks * CHUNK, CHUNK):
            features.append(start, rows)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak
