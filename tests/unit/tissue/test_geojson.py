import json
from uuid import UUID

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from wsi_tools.errors import DataError
from wsi_tools.tissue import Region, parse_regions, read_regions, to_geojson

RING = shapely.Polygon(shapely.box(0, 0, 30, 20).exterior, [shapely.box(5, 5, 10, 10).exterior])
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]}


def region(*polygons: shapely.Polygon, name: str = "Tissue") -> Region:
    return Region(shapely.MultiPolygon(polygons), name)


def test_one_feature_is_written_for_every_polygon_as_qupath_reads_it():
    collection = json.loads(to_geojson([region(RING, shapely.box(50, 50, 60, 60))]))
    assert collection["type"] == "FeatureCollection"
    first, second = collection["features"]
    assert first["type"] == "Feature"
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"]["name"] == "Tissue"
    assert all(0 <= level <= 255 for level in first["properties"]["classification"]["color"])
    assert UUID(first["id"]) != UUID(second["id"])


def test_rings_are_closed_and_holes_are_inner_rings():
    (feature,) = json.loads(to_geojson([region(RING)]))["features"]
    outer, hole = feature["geometry"]["coordinates"]
    assert outer[0] == outer[-1]
    assert hole[0] == hole[-1]
    assert sorted(map(tuple, hole[:-1])) == [(5, 5), (5, 10), (10, 5), (10, 10)]


def test_the_same_regions_give_the_same_text():
    assert to_geojson([region(RING)]) == to_geojson([region(RING)])


@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(1, 1e4), st.text(max_size=9)),
        max_size=4,
    )
)
def test_what_is_written_is_read_back_exactly(boxes):
    regions = tuple(region(shapely.box(x, y, x + s, y + s), name=name) for x, y, s, name in boxes)
    again = parse_regions(to_geojson(regions), "text")
    assert [each.name for each in again] == [each.name for each in regions]
    assert all(one.area.equals(two.area) for one, two in zip(again, regions, strict=True))


@pytest.mark.parametrize(
    "document",
    [
        SQUARE,
        {"type": "Feature", "geometry": SQUARE, "properties": None},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": SQUARE}]},
        [{"type": "Feature", "geometry": SQUARE}],
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
    ],
)
def test_a_collection_a_list_a_feature_and_a_bare_geometry_are_read(document):
    (found,) = parse_regions(json.dumps(document), "text")
    assert found.area.equals(shapely.box(0, 0, 10, 10))
    assert found.name == ""


@pytest.mark.parametrize("properties", [{"classification": {"name": "Tumour"}}, {"name": "Tumour"}])
def test_class_names_are_kept(properties):
    feature = {"type": "Feature", "geometry": SQUARE, "properties": properties}
    assert parse_regions(json.dumps(feature), "text")[0].name == "Tumour"


def test_a_polygon_that_crosses_itself_is_made_valid():
    bow = {"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]}
    (found,) = parse_regions(json.dumps(bow), "text")
    assert found.area.is_valid
    assert found.area.area == 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "3",
        "null",
        "{}",
        "[" * 100_000,
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": [7]}',
        '{"type": "Feature", "geometry": null}',
        '{"type": "Point", "coordinates": [1, 2]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}',
        '{"type": "Polygon", "coordinates": "abc"}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [1, 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [Infinity, 0], [1, 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 0], [1, 1], [0, 0]]]}',
    ],
)
def test_what_is_no_area_is_refused_in_one_line_that_names_the_file(text):
    with pytest.raises(DataError, match=r"^roi\.geojson: .*; give polygons as GeoJSON$") as refused:
        parse_regions(text, "roi.geojson")
    assert "\n" not in str(refused.value)


def test_a_folder_holds_one_file_per_slide(tmp_path):
    (tmp_path / "case.geojson").write_text(to_geojson([region(RING)]))
    assert read_regions(tmp_path, "case")[0].area.equals(RING)
    assert read_regions(tmp_path / "case.geojson", "whatever")[0].area.equals(RING)
    with pytest.raises(DataError, match=r"other\.geojson: cannot be read"):
        read_regions(tmp_path, "other")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "case.geojson").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"case\.geojson: cannot be read"):
        read_regions(tmp_path, "case")
