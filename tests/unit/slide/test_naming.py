from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_tools.slide.naming import is_safe_id, slide_ids, stem


def named(*texts):
    return list(slide_ids([Path(text) for text in texts]).values())


def test_a_slide_is_called_by_its_stem():
    assert named("/d/a.svs", "/d/TCGA-2V-A95S.9DFA.svs") == ["a", "TCGA-2V-A95S.9DFA"]


def test_ome_tiff_is_one_suffix():
    assert stem(Path("/d/OS-1.ome.tif")) == "OS-1"
    assert stem(Path("/d/OS-1.OME.TIFF")) == "OS-1"
    assert stem(Path("/d/CMU-1.webp.tiff")) == "CMU-1.webp"


def test_colliding_stems_become_the_path_with_its_extension_and_only_those():
    assert named("/d/vendors/cmu1.svs", "/d/vendors/cmu1.ome.tiff", "/d/other.svs") == [
        "vendors-cmu1-svs",
        "vendors-cmu1-ome-tiff",
        "other",
    ]


def test_a_longer_end_of_the_path_is_taken_where_folders_collide_too():
    assert named("/d/a/slides/x.svs", "/d/b/slides/x.svs") == ["a-slides-x-svs", "b-slides-x-svs"]


def test_a_separator_in_a_name_does_not_make_two_slides_one():
    assert len(set(named("/d/a-b/c.svs", "/d/a/b-c.svs", "/d/c.svs", "/d/b-c.svs"))) == 4


def test_stems_that_differ_in_case_alone_are_told_apart_by_their_folders():
    assert named("/d/a/x.svs", "/d/b/X.svs") == ["a-x-svs", "b-X-svs"]


def test_paths_that_differ_in_case_alone_are_refused_and_only_those():
    assert named("/d/a/x.svs", "/d/a/X.svs", "/d/a/y.svs") == [None, None, "y"]


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "a\\b", "a\nb", ".hidden", "-o", "a#1", "a "]
)
def test_what_could_leave_the_folder_or_break_a_line_is_no_identifier(text):
    assert not is_safe_id(text)


def test_an_absurdly_long_name_is_cut_and_stays_unique():
    one, other = named("/d/" + "ä" * 120 + "1.svs", "/d/" + "ä" * 120 + "2.svs")
    assert one != other
    assert all(len(name.encode()) <= 160 for name in (one, other))


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6))
def test_identifiers_are_safe_and_unique_whatever_the_files_are_called(texts):
    paths = {Path("/d") / text.replace("\0", "").replace("/", "") for text in texts}
    ids = [name for name in slide_ids(sorted(paths)).values() if name is not None]
    assert all(is_safe_id(name) for name in ids)
    assert len({name.casefold() for name in ids}) == len(ids)
