"""Reading a store that is torn: one error, which names the file."""

import shutil

import numpy as np
import pytest
from scene import Scene, tree

from wsi_tools.errors import DataError, StoreError
from wsi_tools.store import FeatureStore


def complaint(store: FeatureStore) -> str:
    """Read everything; what the error says, if there is one."""
    try:
        assert store.record
        store.tissue()
        store.grid("grid")
        store.valid("grid")
        store.features("grid", "plain")
        store.feature_attributes("grid", "plain")
    except DataError as error:
        return str(error)
    return ""


def test_a_torn_file_is_an_error_of_data_that_names_the_store(scene: Scene):
    scene.write()
    assert complaint(scene.store) == ""
    rng = np.random.default_rng(0)
    complaints = []
    for name, content in tree(scene.store.path).items():
        for place in rng.integers(len(content), size=8 if name.endswith(".json") else 1).tolist():
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            (scene.store.path / name).write_bytes(changed)
            complaints.append(complaint(scene.store))
        (scene.store.path / name).write_bytes(content)
    told = [each for each in complaints if each]
    assert len(told) > 50
    assert [each for each in told if str(scene.store.path) not in each] == []


def test_a_torn_chunk_is_named(scene: Scene):
    scene.write()
    chunk = scene.store.path / "grids/grid/coords/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match=r"case.zarr: grids/grid/coords is torn .*run again"):
        scene.store.grid("grid")


@pytest.mark.parametrize("name", ["c/0", "c/0/0"])
def test_something_else_in_the_place_of_a_chunk_is_torn_too(scene: Scene, name):
    scene.write()
    place = scene.store.path / "grids/grid/coords" / name
    if place.is_dir():
        shutil.rmtree(place)
        place.write_bytes(b"")
    else:
        place.unlink()
        place.mkdir()
    with pytest.raises(StoreError, match=r"case.zarr: grids/grid/coords is torn .*run again"):
        scene.store.grid("grid")


def test_what_is_not_there_is_named(scene: Scene):
    with pytest.raises(StoreError, match=r"case.zarr: no store there"):
        assert scene.store.record
    scene.write()
    with pytest.raises(StoreError, match=r"case.zarr: there is no grids/other/coords"):
        scene.store.grid("other")
    with pytest.raises(StoreError, match=r"has the grids grid; choose one with --grid, not other"):
        scene.store.choose_grid("other")


def test_a_later_format_is_refused(scene: Scene):
    scene.write()
    root = scene.store.path / "zarr.json"
    root.write_text(root.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StoreError, match="format 2; this version of wsitools reads 1"):
        assert scene.store.record
