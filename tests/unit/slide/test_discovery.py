from pathlib import Path

import pytest

from wsi_tools.errors import DataError
from wsi_tools.slide.discovery import discover, read_manifest


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(*inputs, recursive=False):
    return {source.slide_id: source for source in discover(inputs, recursive=recursive).sources}


def test_a_folder_gives_its_slides_and_lists_what_no_reader_knows(tmp_path):
    make(tmp_path, "b.svs", "a.ndpi", "notes.docx", ".DS_Store", "deep/c.svs")
    result = discover([tmp_path])
    assert [source.slide_id for source in result.sources] == ["a", "b"]
    assert [path.name for path in result.ignored] == ["notes.docx"]


def test_recursion_goes_into_folders_but_not_into_stores(tmp_path):
    make(tmp_path, "a.svs", "deep/er/b.svs", "proj/a.zarr/thumbnail.png")
    assert set(found(tmp_path, recursive=True)) == {"a", "b"}


def test_an_ome_zarr_is_one_slide_and_is_not_walked_into(tmp_path):
    make(tmp_path, "slides/a.ome.zarr/0/x.tif", "slides/deep/b.zarr/0/y.tif")
    (tmp_path / "slides/a.ome.zarr/.zattrs").write_text('{"multiscales": []}')
    newer = '{"attributes": {"ome": {"multiscales": []}}}'
    (tmp_path / "slides/deep/b.zarr/zarr.json").write_text(newer)
    assert set(found(tmp_path / "slides", recursive=True)) == {"a", "b"}
    assert set(found(tmp_path / "slides")) == {"a"}
    assert set(found(tmp_path / "slides/deep/b.zarr")) == {"b"}


def test_a_named_file_is_a_slide_whatever_its_suffix(tmp_path):
    make(tmp_path, "odd.xyz")
    assert set(found(tmp_path / "odd.xyz", tmp_path / "missing.svs")) == {"odd", "missing"}


def test_a_pattern_is_expanded_and_one_that_matches_nothing_is_an_error(tmp_path):
    make(tmp_path, "a.svs", "b.svs")
    assert set(found(tmp_path / "*.svs")) == {"a", "b"}
    with pytest.raises(DataError, match="matches no file"):
        discover([tmp_path / "*.ndpi"])


def test_a_slide_named_twice_is_found_once(tmp_path, monkeypatch):
    make(tmp_path, "a.svs")
    monkeypatch.chdir(tmp_path)
    assert (
        len(discover(["a.svs", tmp_path, tmp_path / "a.svs", "../" + tmp_path.name]).sources) == 1
    )


def test_a_link_is_called_by_its_own_name(tmp_path):
    make(tmp_path, "blobs/0f3a", "slides/x")
    (tmp_path / "slides/case.svs").symlink_to(tmp_path / "blobs/0f3a")
    assert set(found(tmp_path / "slides")) == {"case"}


def test_the_folder_of_a_mirax_slide_is_no_input(tmp_path):
    make(tmp_path, "s.mrxs", "s/Index.dat", "s/Data0000.dat", "s/thumb.jpg")
    result = discover([tmp_path, tmp_path / "s"], recursive=True)
    assert [source.path.name for source in result.sources] == ["s.mrxs"]
    assert result.ignored == ()


def test_the_parts_of_a_hamamatsu_index_are_no_inputs_even_if_a_shell_names_them(tmp_path):
    make(tmp_path, "v.jpg", "v_map2.jpg", "v.opt", "photo.jpg")
    (tmp_path / "v.vms").write_text(
        "[Virtual Microscope Specimen]\nImageFile=v.jpg\nMapFile=v_map2.jpg\n"
        "OptimisationFile=v.opt\nMacroImage=gone.jpg\n"
    )
    result = discover(sorted(tmp_path.iterdir()))
    assert [source.slide_id for source in result.sources] == ["photo", "v"]
    assert result.ignored == ()


def test_paths_that_differ_in_case_alone_are_refused_and_the_others_found(tmp_path):
    make(tmp_path, "x.svs", "X.svs", "y.svs")
    result = discover([tmp_path])
    assert [source.slide_id for source in result.sources] == ["y"]
    assert [path.name for path, _ in result.refused] == ["X.svs", "x.svs"]


def test_dicom_files_of_one_series_are_one_slide_and_it_is_no_label(test_data):
    slides = found(test_data / "dicom", recursive=True)
    assert set(slides) == {
        "boxes_0",
        "gcp-jpeg",
        "gcp-raw",
        "highdicom-sm_image",
        "1.2.826.0.1.3680043.8.498.35220404935377466417110411569853018212",
    }


def test_the_real_folders_give_one_source_per_slide(test_data):
    result = discover([test_data / "vendors", test_data / "broken"], recursive=True)
    assert [source.slide_id for source in result.sources] == [
        "empty",
        "histolab_broken",
        "openslide-python_unopenable",
        "openslide-python_unreadable",
        "truncated_4kb",
        "cmu1-generic-nompp",
        "cmu1-generic",
        "cmu1-philips",
        "cmu1-trestle",
        "cmu1-ventana",
        "cmu1-vms",
        "vendors-cmu1-bif",
        "vendors-cmu1-mrxs",
        "vendors-cmu1-ndpi",
        "vendors-cmu1-ome-tiff",
        "vendors-cmu1-scn",
        "vendors-cmu1-svs",
    ]
    assert [path.name for path in result.ignored] == ["truncated_features.h5"]


def manifest(folder, text):
    path = folder / "slides.csv"
    path.write_text(text)
    return path


def test_a_manifest_names_slides_ids_and_resolutions(tmp_path):
    make(tmp_path, "a.svs", "deep/b.svs")
    path = manifest(tmp_path, "slide_id,path,mpp\nfirst,a.svs,0.25\n,deep/b.svs,\n")
    rows = read_manifest(path)
    assert [(row.slide_id, row.path, row.mpp) for row in rows] == [
        ("first", tmp_path / "a.svs", 0.25),
        ("b", tmp_path / "deep/b.svs", None),
    ]


def test_failures_csv_is_a_manifest(tmp_path):
    make(tmp_path, "a.svs")
    path = manifest(
        tmp_path, 'slide_id,path,stage,error,message\nx,a.svs,tile,SlideError,"no, none"\n'
    )
    assert [row.slide_id for row in read_manifest(path)] == ["x"]


def test_a_relative_path_is_sought_beside_the_manifest_then_here(tmp_path, monkeypatch):
    make(tmp_path, "tables/near.svs", "work/near.svs", "work/here.svs")
    monkeypatch.chdir(tmp_path / "work")
    path = manifest(tmp_path / "tables", "path\nnear.svs\nhere.svs\nnowhere.svs\n")
    assert [row.path.relative_to(tmp_path).as_posix() for row in read_manifest(path)] == [
        "tables/near.svs",
        "work/here.svs",
        "tables/nowhere.svs",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.svs\n", "slides.csv: line 1: there is no column `path`; add it"),
        ('path\na.svs\n""\n', "slides.csv: line 3: `path` is empty; name a slide"),
        ("path,mpp\na.svs,fine\n", "slides.csv: line 2: mpp 'fine': could not convert"),
        (
            "path,mpp\na.svs,352.8\n",
            "slides.csv: line 2: mpp '352.8': mpp 352.8: 352.8 µm/px is not",
        ),
        ("path,slide_id\na.svs,../up\n", "slides.csv: line 2: slide_id '../up' cannot be a file's"),
        ("path,slide_id\na.svs,x\nb.svs,X\n", "slides.csv: line 3: slide 'X' is on line 2 too"),
        ("path\na.svs\na.svs\n", "slides.csv: line 3: slide 'a' is on line 2 too"),
        ('path\n"a.svs\n', "slides.csv: cannot be read as CSV"),
    ],
)
def test_a_broken_manifest_is_an_error_that_names_the_line(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        read_manifest(manifest(tmp_path, text))
    assert str(caught.value).startswith(message)


def test_a_manifest_that_is_missing_or_no_text_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "slides.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_manifest(tmp_path / "slides.csv")
