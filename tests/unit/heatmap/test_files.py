"""What is written of a slide: tables, polygons, pyramids and pictures say the same."""

import csv
import io
import json
import pickle
import shutil
from dataclasses import replace

import cv2
import numpy as np
import openslide
import pytest
import shapely
import tifffile
import tiffslide

from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.clinical import Categories, Numbers, Scaler
from wsi_tools.errors import InputError, SlideError, StoreError
from wsi_tools.heatmap import (
    Frame,
    HeatmapRequest,
    HeatmapWork,
    RunModels,
    frame_of,
    from_slide,
    heat_field,
    slide_of,
    tile_pictures,
)
from wsi_tools.heatmap.figure import HEAD_PX, MARGIN_PX
from wsi_tools.heatmap.geojson import to_geojson
from wsi_tools.heatmap.lettering import Lettering
from wsi_tools.heatmap.scale import ramp
from wsi_tools.heatmap.what_if import change_of, changed
from wsi_tools.heatmap.writing import files_of
from wsi_tools.prediction import Computing
from wsi_tools.slide import open_slide
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import TissueOptions, parse_regions, segment

CPU = Computing("cpu", "fp32")
LEFT_OUT = (0, 9)


@pytest.fixture(scope="module")
def run(teach, planted, tmp_path_factory):
    """A run of class attention, whose heads and classes have scores of their own."""
    folder = tmp_path_factory.mktemp("run")
    teach("class-attention", planted[0]).teach(folder)
    return folder


@pytest.fixture(scope="module")
def project(write_slide, write_store, tmp_path_factory):
    """A slide two of whose tiles could not be read."""
    folder = tmp_path_factory.mktemp("torn")
    path = write_slide(folder / "torn.tiff", 0.7)
    write_store(folder / "proj", "torn", path, invalid=LEFT_OUT)
    return folder / "proj"


@pytest.fixture(scope="module")
def scores(run, project, cohort_of):
    """The scores of that slide."""
    models, cohort = RunModels.load(run, CPU), cohort_of(project)
    return models.scores(cohort.cases()[0], models.bags(project, cohort))[0]


@pytest.fixture(scope="module")
def written(scores):
    """Write a slide's files: a mapping from name to content."""

    def write(**request):
        with slide_of(scores.feature_store()) as slide:
            return dict(files_of(scores, HeatmapRequest(**request), slide))

    return write


def rows_of(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def picture_of(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_the_table_has_a_row_per_tile_and_a_column_per_score(written, scores):
    rows = rows_of(written(to=("csv",))["torn.csv"])
    assert len(rows) == 64
    assert list(rows[0])[:5] == ["slide_id", "x", "y", "width", "height"]
    assert tuple(rows[0])[5:] == scores.names
    for place, row in enumerate(rows):
        assert (int(row["x"]), int(row["y"])) == tuple(scores.grid.xy[place])
        assert float(row["width"]) == pytest.approx(64 / 0.7)
        if place in LEFT_OUT:
            assert row["attention"] == ""
        else:
            assert np.float32(row["attention"]) == scores.score()[place]


def test_the_mean_of_the_heads_is_the_attention(scores):
    for name in ("dull", "bright"):
        heads = [scores.score(f"attention:{name}/head-{k}") for k in range(2)]
        np.testing.assert_allclose(
            np.mean(heads, axis=0), scores.score(f"attention:{name}"), rtol=1e-5
        )
        assert np.nansum(heads[0]) == pytest.approx(1)


def test_polygons_are_the_tiles_with_their_scores(written, scores):
    text = written(to=("geojson",), scores=("attention", "attention:dull"))["torn.geojson"]
    document = json.loads(text)
    kept = [place for place in range(64) if place not in LEFT_OUT]
    regions = parse_regions(text.decode(), "torn.geojson")
    assert len(regions) == len(document["features"]) == len(kept)
    for place, region, feature in zip(kept, regions, document["features"], strict=True):
        x, y, width, height = scores.grid.box(place)
        expected = shapely.box(x, y, x + width, y + height)
        assert region.area.symmetric_difference(expected).area < 1
        measured = feature["properties"]["measurements"]
        assert np.float32(measured["attention"]) == scores.score()[place]
        assert np.float32(measured["attention:dull"]) == scores.score("attention:dull")[place]


def test_polygons_have_the_form_of_what_qupath_writes(written, test_data):
    """The members of its own file, and what its reader takes of a tile."""
    theirs = json.loads((test_data / "interop" / "qupath05.geojson").read_text())
    ours = json.loads(written(to=("geojson",))["torn.geojson"])
    assert ours.keys() == theirs.keys()
    for one, other in ((ours["features"][0], theirs["features"][0]),):
        assert one.keys() == other.keys()
        assert one["geometry"].keys() == other["geometry"].keys()
        assert len(one["id"]) == len(other["id"])
        ring = one["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
    properties = ours["features"][0]["properties"]
    assert properties["objectType"] == "tile"
    assert [type(part) for part in properties["color"]] == [int, int, int]
    assert {type(number) for number in properties["measurements"].values()} == {float}


def test_polygons_may_begin_at_the_corner_of_the_bounds(scores):
    """As QuPath has it for MRXS and SCN: everything moves by that corner."""
    whole, cropped = (
        json.loads(to_geojson(scores, ("attention",), origin=origin))["features"]
        for origin in ((0, 0), (200, 400))
    )
    for one, other in zip(whole, cropped, strict=True):
        moved = np.subtract(one["geometry"]["coordinates"], other["geometry"]["coordinates"])
        np.testing.assert_allclose(moved, np.broadcast_to((200, 400), moved.shape))
        assert one["properties"] == other["properties"]


def test_names_that_differ_in_signs_alone_are_files_of_their_own(scores):
    names = ("attention:<50", "attention:>50", "attention:-", "attention")
    signs = replace(scores, names=names, values=scores.values[:, :4])
    files = [name for name, _ in files_of(signs, HeatmapRequest(scores=names), None)]
    assert files == [
        "torn.attention-%3C50.png",
        "torn.attention-%3E50.png",
        "torn.attention--.png",
        "torn.attention.png",
    ]


def test_letters_with_accents_are_drawn_without():
    paper = np.full((24, 120, 3), 255, np.uint8)
    lines = [Lettering(paper) for _ in range(2)]
    for line, text in zip(lines, ("Ménière", "Meniere"), strict=True):
        line.write((4, 18), text)
    assert (lines[0].picture == lines[1].picture).all()
    assert (lines[0].picture != paper).any()


def test_the_picture_and_the_table_agree(written, scores):
    """Opaque raw heat is the ramp's colour of the number in the table."""
    files = written(to=("png", "csv"), scaling="raw", opacity=1.0, picture_px=512)
    page = picture_of(files["torn.attention.png"])
    heat = scores.score()
    lowest, highest = np.nanmin(heat), np.nanmax(heat)
    um = 512 / 512  # µm per pixel of the picture
    left, top = MARGIN_PX, HEAD_PX
    for place, row in enumerate(rows_of(files["torn.csv"])):
        x = left + round((float(row["x"]) + float(row["width"]) / 2) * 0.7 / um)
        y = top + round((float(row["y"]) + float(row["height"]) / 2) * 0.7 / um)
        if place in LEFT_OUT:
            assert tuple(page[y, x]) == (150, 90, 150)  # the tissue itself
        else:
            part = (float(row["attention"]) - lowest) / (highest - lowest)
            np.testing.assert_array_equal(page[y, x], ramp("viridis")[round(float(part) * 255)])


def test_the_pyramid_holds_the_numbers_and_their_scale(written, scores, tmp_path):
    path = tmp_path / "torn.ome.tiff"
    names = ("attention", "attention:dull")
    path.write_bytes(written(to=("ome-tiff",), scores=names)["torn.ome.tiff"])
    store = scores.feature_store()
    frame = frame_of(store.slide, store.tissue().scale, 2048)
    with tifffile.TiffFile(path) as file:
        series, description = file.series[0], file.ome_metadata
        planes, levels = series.asarray(), [level.shape for level in series.levels]
    assert levels == [(2, 731, 731), (2, 366, 366)]  # never finer than the slide
    for name, plane in zip(names, planes, strict=True):
        expected = heat_field(scores.grid, scores.score(name), frame).values
        np.testing.assert_array_equal(plane, expected)
    assert 'PhysicalSizeX="0.7' in description
    assert 'Name="attention:dull"' in description


def test_the_colours_open_where_slides_do(written, tmp_path):
    path = tmp_path / "torn.tiff"
    path.write_bytes(written(to=("rgb-tiff",))["torn.attention.rgb.ome.tiff"])
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (731, 731)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.7, rel=1e-3)
    with tiffslide.TiffSlide(path) as slide:
        assert slide.level_dimensions == ((731, 731), (365, 365))


def test_tiles_are_shown_while_the_slide_is_there(written, scores):
    assert "torn.attention.tiles.png" in written(tiles=4)
    gone = dict(files_of(scores, HeatmapRequest(tiles=4), None))
    assert list(gone) == ["torn.attention.png"]
    with pytest.raises(SlideError, match="torn: its slide is gone"):
        list(files_of(scores, HeatmapRequest(background="slide"), None))


def test_a_score_that_is_not_offered_is_refused_with_those_that_are(written):
    with pytest.raises(InputError, match=r"--score attention:grey: .* attention, attention:dull"):
        written(scores=("attention:grey",))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"to": ("jpg",)}, "--to jpg: choose from png, csv"),
        ({"to": ()}, "--to : choose from png, csv"),
        ({"scaling": "log"}, "--scaling log"),
        ({"colours": "jet"}, "--colours jet: choose from viridis"),
        ({"background": "none"}, "--background none"),
        ({"origin": "centre"}, "--origin centre"),
        ({"opacity": 0.0}, "--opacity 0"),
    ],
)
def test_what_is_not_known_is_refused_by_name(options, told):
    with pytest.raises(InputError, match=told):
        HeatmapRequest(**options)


def work_of(run, project, cohort_of, out, *, overwrite=False, **request):
    out.mkdir(exist_ok=True)
    asked = HeatmapRequest(**request)
    return HeatmapWork(run, project, cohort_of(project), asked, out, CPU, overwrite)


def done_by(work):
    (task,) = work.tasks()
    return work(task, lambda *_: None)


def test_the_same_request_has_nothing_to_do(run, project, cohort_of, tmp_path):
    out = tmp_path / "maps"
    first = done_by(work_of(run, project, cohort_of, out, to=("csv",)))
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert done_by(work_of(run, project, cohort_of, out, to=("csv",))) == first
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_worker_is_sent_the_request_and_no_models(run, project, cohort_of, tmp_path):
    work = work_of(run, project, cohort_of, tmp_path / "maps", to=("csv",))
    before = pickle.dumps(work)
    assert work.models.level == "slide"
    assert pickle.dumps(work) == before
    assert done_by(pickle.loads(before))[0]["files"] == ["torn.csv"]


def test_another_request_is_refused_by_name_or_overwrites(run, project, cohort_of, tmp_path):
    out = tmp_path / "maps"
    done_by(work_of(run, project, cohort_of, out, to=("csv",)))
    other = {"to": ("csv",), "scores": ("attention:dull",)}
    with pytest.raises(StoreError, match=r"scores: \[.attention:dull.\] asked"):
        done_by(work_of(run, project, cohort_of, out, **other))
    (row,) = done_by(work_of(run, project, cohort_of, out, overwrite=True, **other))
    assert row["files"] == ["torn.csv"]


def test_a_lost_file_is_made_again(run, project, cohort_of, tmp_path):
    out = tmp_path / "maps"
    done_by(work_of(run, project, cohort_of, out, to=("csv",)))
    expected = (out / "torn.csv").read_bytes()
    (out / "torn.csv").unlink()
    done_by(work_of(run, project, cohort_of, out, to=("csv",)))
    assert (out / "torn.csv").read_bytes() == expected


def test_without_the_slide_everything_but_tiles_is_there(run, project, cohort_of, tmp_path):
    copy = shutil.copytree(project, tmp_path / "proj")
    root = copy / "torn.zarr" / "zarr.json"
    (kept,) = done_by(
        work_of(run, copy, cohort_of, tmp_path / "a", to=("png",), background="thumbnail")
    )
    slide = project.parent / "torn.tiff"
    away = slide.rename(tmp_path / "elsewhere.tiff")
    try:
        work = work_of(run, copy, cohort_of, tmp_path / "b", to=("png", "csv"), tiles=3)
        (row,) = done_by(work)
    finally:
        away.rename(slide)
    assert root.is_file()
    assert not row["slide_there"]
    assert row["files"] == ["torn.attention.png", "torn.csv"]
    name = kept["files"][0]
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_tiles_are_made_once_the_slide_is_back(run, write_slide, write_store, cohort_of, tmp_path):
    path = write_slide(tmp_path / "slide.tiff")
    write_store(tmp_path / "proj", "slide", path)
    work = work_of(run, tmp_path / "proj", cohort_of, tmp_path / "maps", to=("csv",), tiles=2)
    away = path.rename(tmp_path / "elsewhere.tiff")
    (gone,) = done_by(work)
    assert gone["files"] == ["slide.csv"]
    away.rename(path)
    (row,) = done_by(work)
    assert row["files"] == ["slide.csv", "slide.attention.tiles.png"]


def test_another_file_in_the_slides_place_is_not_shown(
    run, write_slide, write_store, cohort_of, tmp_path
):
    path = write_slide(tmp_path / "slide.tiff")
    write_store(tmp_path / "proj", "slide", path)
    write_slide(path, 1.0)
    (row,) = done_by(work_of(run, tmp_path / "proj", cohort_of, tmp_path / "maps", tiles=2))
    assert not row["slide_there"]


@pytest.fixture(scope="module")
def personal(teach, planted, tmp_path_factory):
    """A run of PersAM, which reads a record."""
    run = tmp_path_factory.mktemp("persam")
    teach("persam", planted[0], steps=30).teach(run)
    return run


def test_the_four_attentions_of_persam_multiply(personal, planted, cohort_of):
    models, cohort = RunModels.load(personal, CPU), cohort_of(planted[0])
    (scores,) = models.scores(cohort.cases()[0], models.bags(planted[0], cohort))
    for name in ("dull", "bright"):
        product = (
            scores.score(f"classwise:{name}")
            * scores.score("exploratory")
            * scores.vectors["class_table"][name]
        )
        np.testing.assert_allclose(scores.score(f"explanatory:{name}"), product, rtol=1e-5)
        np.testing.assert_array_equal(
            scores.score(f"attention:{name}"), scores.score(f"explanatory:{name}")
        )


def test_another_record_changes_prediction_and_attention(personal, planted, cohort_of, tmp_path):
    request = {"to": ("png", "csv"), "what_if": (change_of("age=90"), change_of("age=50"))}
    (row,) = done_by(work_of(personal, planted[0], cohort_of, tmp_path / "maps", **request))
    other, same = row["what_if"]
    assert (other["column"], other["was"], other["would_be"]) == ("age", "50", "90")
    assert other["prob_bright_would_be"] != pytest.approx(other["prob_bright"], abs=1e-4)
    assert same["prob_bright_would_be"] == same["prob_bright"]
    assert "square.attention-if-age=90.png" in row["files"]
    lines = rows_of((tmp_path / "maps" / "square.what-if.csv").read_bytes())
    assert float(lines[0]["prob_bright_would_be"]) == other["prob_bright_would_be"]
    unchanged = picture_of((tmp_path / "maps" / "square.attention-if-age=50.png").read_bytes())
    changed = picture_of((tmp_path / "maps" / "square.attention-if-age=90.png").read_bytes())
    assert (unchanged != changed).any()


def test_maps_of_another_record_are_not_taken_for_those_that_are_asked(
    personal, planted, cohort_of, tmp_path
):
    work = work_of(personal, planted[0], cohort_of, tmp_path / "maps", to=("csv",))
    done_by(work)
    slides = tuple(replace(each, cells={"age": "90"}) for each in work.cohort.slides)
    older = replace(work, cohort=Cohort(slides))
    with pytest.raises(StoreError, match=r'record\.age: "90" asked, "50" there'):
        done_by(older)


def test_a_record_the_model_does_not_read_cannot_change_it(
    run, personal, planted, project, cohort_of, tmp_path
):
    request = {"what_if": (change_of("stage=3"),)}
    with pytest.raises(InputError, match=r"does not read 'stage'; it reads age"):
        done_by(work_of(personal, planted[0], cohort_of, tmp_path / "a", **request))
    with pytest.raises(InputError, match="it reads no clinical column"):
        done_by(work_of(run, project, cohort_of, tmp_path / "b", **request))


SCALER = Scaler("record", (Categories("stage", ("I", "II")), Numbers("age", 60.0, 10.0)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stage=ii", "--what-if stage=ii: the training folds knew I, II"),
        ("age=old", "--what-if age=old: give a number"),
    ],
)
def test_a_value_that_reads_as_a_missing_one_is_refused(text, told):
    case = Case("a", "a", ("a",), cells={"stage": "I", "age": "50"})
    with pytest.raises(InputError, match=told):
        changed(case, change_of(text), [SCALER])
    assert changed(case, change_of("stage=II"), [SCALER]).cells == {"stage": "II", "age": "50"}


@pytest.mark.parametrize("text", ["age", "=70", "age=", " =3"])
def test_a_change_without_column_or_value_is_refused(text):
    with pytest.raises(InputError, match="give COLUMN=VALUE"):
        change_of(text)


def test_tiles_of_a_multiplex_slide_show_the_nuclei_with_one_white_for_all(tmp_path):
    planes = np.zeros((2, 512, 512), np.uint16)
    planes[0] = 7  # another marker
    planes[1, :, :256], planes[1, :, 256:] = 100, 400
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": ["CD8", "DAPI"]},
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeYUnit": "µm",
    }
    path = tmp_path / "marked.ome.tiff"
    tifffile.imwrite(path, planes, tile=(256, 256), photometric="minisblack", metadata=metadata)
    with open_slide(path) as slide:
        tissue = segment(slide, TissueOptions(method="any-marker", hard_background=False))
        grid = tile(slide.info, _everywhere(tissue), TileSpec(px=256, mpp=0.5))
        dim, bright, *_ = tile_pictures(slide, grid, [0, 1, 2, 3])
        behind = from_slide(slide, Frame((0, 0, 512, 512), (128, 128), (0.5, 0.5)))
    np.testing.assert_array_equal(np.unique(dim), [64])  # 100 of 400, of 255
    np.testing.assert_array_equal(np.unique(bright), [255])
    np.testing.assert_array_equal(behind[0, ::64], [(64, 64, 64), (255, 255, 255)])


def _everywhere(tissue):
    """The same slide, all of it tissue."""
    return replace(tissue, mask=np.ones_like(tissue.mask))
