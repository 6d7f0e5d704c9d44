import pickle

import numpy as np
import pytest
import torch
import zarr

from wsi_tools.cohort import Case, ClinicalTable, Cohort, Scaler
from wsi_tools.cohort.bags import open_bags
from wsi_tools.cohort.stores import fingerprints, with_stores
from wsi_tools.errors import DataError, InputError, StoreError

TILES = np.arange(12, dtype=np.float16).reshape(4, 3)
SQUARE = [(0, 5), (0, 6), (7, 5), (7, 6)]  # (row, column)


def slide(name):
    return Case(name, name, (name,))


def test_a_bag_is_what_the_store_holds(stores):
    stores.add("a", TILES, index=SQUARE)
    bag = open_bags(stores.path, Cohort.of_slides(["a"])).bag(slide("a"))
    assert bag.features.dtype == torch.float16
    assert bag.features.tolist() == TILES.tolist()
    assert bag.lattice.tolist() == [[5, 0], [6, 0], [5, 7], [6, 7]]  # (column, row)
    assert bag.coords.tolist() == [[1280, 0], [1536, 0], [1280, 1792], [1536, 1792]]
    assert bag.segment.tolist() == [0, 0, 0, 0]
    assert bag.clinical == ()


def test_tiles_that_were_not_read_or_not_embedded_or_have_too_little_tissue_are_left_out(stores):
    stores.add("a", TILES, tissue=[0.05, 0.1, 0.5, 1.0], unread=[2])
    cohort = Cohort.of_slides(["a"])
    bags = open_bags(stores.path, cohort)
    assert bags.rows("a").tolist() == [1, 3]
    assert bags.bag(slide("a")).features.tolist() == TILES[[1, 3]].tolist()
    assert open_bags(stores.path, cohort, min_tissue=0.01).rows("a").tolist() == [1, 3]
    assert open_bags(stores.path, cohort, min_tissue=0.6).rows("a").tolist() == [3]
    assert bags.size(slide("a")) == 2


def test_the_slides_of_a_patient_are_segments_far_apart_on_one_lattice(stores):
    stores.add("a", TILES, index=SQUARE)
    stores.add("b", TILES[:2] + 100, index=[(0, 0), (0, 1)])
    stores.add("c", TILES[:1] + 200, index=[(0, 0)])
    bags = open_bags(stores.path, Cohort.of_slides(["a", "b", "c"]))
    bag = bags.bag(Case("P", "P", ("a", "b", "c")))
    assert bag.segment.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert bag.features[:, 0].tolist() == [0, 3, 6, 9, 100, 103, 200]
    columns = bag.lattice[:, 0].tolist()
    assert columns[:4] == [5, 6, 5, 6]
    assert columns[4] - columns[3] >= 4096 <= columns[6] - columns[5]
    assert columns[5] - columns[4] == 1


@pytest.fixture
def large(stores, monkeypatch):
    """A bag of three chunks that threads share, and its values."""
    monkeypatch.setattr("wsi_tools.store.chunks.SHARED_BYTES", 0)  # so that a small bag is shared
    monkeypatch.setattr("wsi_tools.cohort.bags.computing_cores", lambda: 4)  # on any machine
    values = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float16)
    stores.add("a", values, index=[(row, 0) for row in range(2500)])
    return open_bags(stores.path, Cohort.of_slides(["a"])), values


def test_a_bag_read_by_threads_is_what_the_store_holds(large):
    bags, values = large
    for _ in range(10):
        np.testing.assert_array_equal(bags.bag(slide("a")).features, values)


def test_a_chunk_torn_under_threads_is_named_with_its_store(large):
    bags, _ = large
    (chunk,) = bags.stores["a"].glob("grids/*/features/*/c/2/0")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"a\.zarr: grids/.* is torn \(its chunk 2"):
        bags.bag(slide("a"))


def test_bags_go_to_another_process(large):
    bags, values = large
    again = pickle.loads(pickle.dumps(bags))
    np.testing.assert_array_equal(again.bag(slide("a")).features, values)


def test_markers_keep_their_axis(stores):
    stores.add("a", np.ones((2, 7, 3), np.float32))
    bags = open_bags(stores.path, Cohort.of_slides(["a"]))
    assert (bags.width, bags.markers) == (3, 7)
    assert bags.bag(slide("a")).features.shape == (2, 7, 3)


def test_clinical_vectors_come_from_the_scalers_of_the_training_fold(stores):
    stores.add("a", TILES)
    scaler = Scaler.fit(ClinicalTable("t", ("age",)), [{"age": "50"}, {"age": "54"}])
    bags = open_bags(stores.path, Cohort.of_slides(["a"])).with_scalers([scaler])
    (vector,) = bags.bag(Case("a", "a", ("a",), cells={"age": "56"})).clinical
    assert vector.tolist() == [2.0]
    assert vector.dtype == torch.float32


def test_only_the_cases_given_can_be_reached(stores):
    stores.add("a", TILES)
    stores.add("b", TILES)
    training = open_bags(stores.path, Cohort.of_slides(["a", "b"])).only([slide("a")])
    assert len(training.bag(slide("a"))) == 4
    with pytest.raises(InputError, match="case b: slide b is not among these bags"):
        training.bag(slide("b"))


def test_features_are_named_where_there_are_several(stores):
    stores.add("a", TILES, names=("uni", "resnet50"))
    cohort = Cohort.of_slides(["a"])
    with pytest.raises(InputError, match="choose with --features from g/resnet50, g/uni"):
        open_bags(stores.path, cohort)
    assert str(open_bags(stores.path, cohort, features="g/uni").features) == "g/uni"
    assert str(open_bags(stores.path, cohort, features="resnet50").features) == "g/resnet50"
    with pytest.raises(InputError, match="has no features 'virchow'"):
        open_bags(stores.path, cohort, features="virchow")


def test_stores_without_features_say_what_to_run(stores):
    stores.add("a", TILES, names=())
    with pytest.raises(InputError, match="has no features; run wsitools embed first"):
        open_bags(stores.path, Cohort.of_slides(["a"]))
    stores.add("b", TILES)
    with pytest.raises(StoreError, match="slide a: no features g/uni"):
        open_bags(stores.path, Cohort.of_slides(["b", "a"]))


@pytest.mark.parametrize(
    ("features", "request_", "reason"),
    [
        (TILES, {"backbone": "resnet50"}, 'encoder.backbone: "resnet50" asked, "uni" there'),
        (TILES, {"precision": "reduced"}, "encoder.precision"),
        (TILES, {"min_tissue": 0.5}, "min_tissue: 0.5 asked, 0.1 there"),
        (np.ones((4, 2), np.float16), {}, "values"),
    ],
)
def test_slides_of_another_kind_are_refused_by_name(stores, features, request_, reason):
    stores.add("a", TILES)
    stores.add("b", TILES)
    stores.add("c", features, **request_)
    with pytest.raises(DataError, match=reason) as caught:
        open_bags(stores.path, Cohort.of_slides(["a", "b", "c"]))
    assert str(caught.value).startswith("slide c: its features g/uni are not of the kind that a")


def test_slides_embedded_with_less_tissue_are_alike_above_a_common_least(stores):
    stores.add("a", TILES)
    stores.add("b", TILES, min_tissue=0.5)
    bags = open_bags(stores.path, Cohort.of_slides(["a", "b"]), min_tissue=0.5)
    assert bags.identity["min_tissue"] == 0.5


def test_a_slide_that_overflowed_float16_goes_with_the_others(stores):
    stores.add("a", TILES, dtype="float16")
    stores.add("b", TILES.astype(np.float32), dtype="float32")
    bags = open_bags(stores.path, Cohort.of_slides(["a", "b"]))
    assert bags.bag(Case("P", "P", ("a", "b"))).features.dtype == torch.float32


def test_a_slide_without_a_tile_to_use_is_named(stores):
    stores.add("a", TILES, tissue=[0.2] * 4)
    bags = open_bags(stores.path, Cohort.of_slides(["a"]), min_tissue=0.3)
    with pytest.raises(DataError, match="slide a: none of its 4 tiles can be used"):
        bags.bag(slide("a"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named_with_slide_and_tile(stores, value):
    stores.add("a", TILES.astype(np.float32), tissue=[0.0, 1.0, 1.0, 1.0])
    zarr.open_array(stores.path / "a.zarr/grids/g/features/uni")[2, 1] = value
    bags = open_bags(stores.path, Cohort.of_slides(["a"]))
    with pytest.raises(DataError, match="slide a: the features uni of tile 2 are not finite"):
        bags.bag(slide("a"))


def test_slides_without_stores_are_counted_and_named(stores):
    stores.add("a", TILES)
    cohort = Cohort.of_slides(["a", "x1", "x2", "x3", "x4", "x5", "x6"])
    with pytest.raises(DataError, match=r"no store for 6 of 7 slides \(x1, x2, x3, x4, x5, …\)"):
        with_stores(cohort, stores.path)
    kept = with_stores(cohort, stores.path, skip_missing=True)
    assert [each.slide_id for each in kept.slides] == ["a"]
    with pytest.raises(DataError, match="holds none of the cohort's slides, such as x1"):
        with_stores(Cohort.of_slides(["x1"]), stores.path, skip_missing=True)


def test_the_fingerprint_of_an_image_is_that_in_its_store(stores):
    stores.add("a", TILES)
    stores.add("b", TILES)
    assert fingerprints(stores.path, ["a"]) == {"a": "image of a"}


def channels(*markers, missing="error", cohort=None):
    """What a store says of features of these markers."""
    panel = {name: {"place": place} for place, name in enumerate(markers)}
    return {"as": "per-channel", "panel": panel, "missing": missing, "cohort": cohort}


def test_a_panel_goes_without_saying_where_one_set_has_the_backbone(stores):
    stores.add("a", np.ones((2, 7, 3), np.float32), names=("uni@study",))
    for name in (None, "uni@study", "g/uni@study", "uni", "g/uni"):
        bags = open_bags(stores.path, Cohort.of_slides(["a"]), features=name)
        assert str(bags.features) == "g/uni@study"


def test_features_without_a_panel_are_meant_where_both_are_there(stores):
    stores.add("a", TILES, names=("uni", "uni@study"))
    bags = open_bags(stores.path, Cohort.of_slides(["a"]), features="uni")
    assert bags.features.name == "uni"


@pytest.mark.parametrize(
    ("name", "markers", "told"),
    [
        ("uni@study", ("CD8", "CD3"), "it lacks DAPI and has CD3"),
        ("uni@study", ("CD8", "DAPI"), "it has its markers in another order"),
        ("uni@other", ("DAPI", "CD8", "CD3"), "it has CD3"),
    ],
)
def test_slides_of_other_panels_are_told_with_their_markers(stores, name, markers, told):
    values = np.ones((2, 2, 3), np.float32)
    stores.add("a", values, names=("uni@study",), channels=channels("DAPI", "CD8"))
    other = np.ones((2, len(markers), 3), np.float32)
    stores.add("b", other, names=(name,), channels=channels(*markers))
    with pytest.raises(DataError, match=f"slide b: beside a {told}; embed all slides with one"):
        open_bags(stores.path, Cohort.of_slides(["a", "b"]))


def test_slides_that_were_allowed_to_drop_markers_are_alike_but_no_one_bag(stores):
    panel = channels("DAPI", "CD8", missing="drop")
    whole, less = {"markers": ["DAPI", "CD8"]}, {"markers": ["CD8"]}
    stores.add("a", np.ones((2, 2, 3), np.float32), attributes=whole, channels=panel)
    stores.add("b", np.ones((2, 1, 3), np.float32), attributes=less, channels=panel)
    bags = open_bags(stores.path, Cohort.of_slides(["a", "b"]))
    assert (bags.markers, bags.identity["markers"]) == (2, ["DAPI", "CD8"])
    assert bags.bag(slide("b")).features.shape == (2, 1, 3)
    assert bags.marker_names("b") == ("CD8",)
    with pytest.raises(DataError, match="case P: b has not the markers of a"):
        bags.bag(Case("P", "P", ("a", "b")))


def test_the_scale_of_each_slide_may_be_its_own_and_that_of_a_cohort_may_not(stores):
    panel = channels("DAPI", "CD8")
    for name in "ab":
        stores.add(name, np.ones((2, 2, 3), np.float32), channels=panel, statistics=name)
    assert open_bags(stores.path, Cohort.of_slides(["a", "b"])).scale_images == {}
    fitted = {"slides": {"a": "image of a"}, "measured": "0"}
    other = channels("DAPI", "CD8", cohort=fitted)
    stores.add("c", np.ones((2, 2, 3), np.float32), channels=other)
    assert open_bags(stores.path, Cohort.of_slides(["c"])).scale_images == {"a": "image of a"}
    with pytest.raises(DataError, match=r"encoder\.channels\.cohort"):
        open_bags(stores.path, Cohort.of_slides(["a", "c"]))
