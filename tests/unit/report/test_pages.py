"""A page holds all it shows, and nothing that a table says becomes part of it."""

import re
from dataclasses import replace

import pytest

from wsi_tools.cohort import Classification
from wsi_tools.errors import DataError
from wsi_tools.report import Shown, contents, make_slides, read_run, read_truth, render, write_page
from wsi_tools.report.said import Said, evenly

HOSTILE = '</script><img src="https://evil.example/x" onerror="alert(1)">&amp;'


def page_of(run, table=None, shown=None):
    truth = read_truth(run, table) if table else None
    why = "" if truth else "no table"
    slides = make_slides(run, truth, shown or Shown())
    return render("report.html", contents(run, truth, why, slides))


@pytest.fixture(scope="module")
def page(run_of, made):
    return page_of(run_of("classification"), made[0], Shown(made[1], slides=4))


def test_a_page_names_no_place_to_fetch_from(page):
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", page) == []
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_a_page_says_what_was_trained_on_whom_and_with_what(page, run_of):
    run = run_of("classification")
    for text in ("30 slides of 24 patients", "abmil", "mpp0.5-px256-ov0/synthetic", run.digest):
        assert text in page
    for training in run.trainings:
        assert training.digests["weights"] in page


def test_every_picture_and_every_chart_has_words(page):
    assert page.count("<img") == 2 * 4
    assert re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", page) == []
    assert re.findall(r"<svg(?![^>]*aria-label)", page) == []


def test_no_two_parts_of_a_page_share_a_name(page):
    names = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(names) == len(set(names))


def test_a_hostile_label_stays_text(trained, made, tmp_path):
    lines = made[0].read_text().replace(",high,", ',"' + HOSTILE.replace('"', '""') + '",')
    (table := tmp_path / "cohort.csv").write_text(lines)
    run = read_run(trained("classification", table, Classification("grade", ("low", HOSTILE))))
    page = page_of(run, table, Shown(made[1], slides=2))
    assert "<img src=&#34;https" in page.replace("&lt;", "<")
    assert HOSTILE not in page
    assert "evil.example" not in re.sub(r">[^<]*|alt=\"[^\"]*\"", "", page)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression", "nll", "cox"])
def test_every_kind_of_run_has_a_page_of_a_fixed_spelling(run_of, made, kind):
    run = run_of(kind)
    assert page_of(run, made[0]) == page_of(run, made[0])


def test_a_page_without_the_truth_says_what_is_missing(run_of):
    page = page_of(run_of("classification"))
    assert "Curves, confusion and calibration are missing" in page
    assert 'id="metrics"' in page
    assert 'id="curves"' not in page


def test_a_page_tells_random_weights_and_few_patients(run_of, made):
    run = run_of("classification")
    features = {**run.request["features"], "encoder": {"weights": "random:0"}}
    marked = replace(run, request={**run.request, "features": features})
    assert "the numbers mean nothing" in page_of(marked, made[0])
    assert "intervals are wide" not in page_of(run, made[0])


def test_pictures_are_of_slides_from_both_ends():
    said = [Said(str(number), "0", "", "", number) for number in range(75)]
    assert [each.slide_id for each in evenly(said, 4)] == ["0", "25", "49", "74"]
    assert evenly(said, 100) == said
    assert [each.slide_id for each in evenly(said, 1)] == ["0"]


def test_a_page_replaces_a_page_and_nothing_else(page, tmp_path):
    write_page(tmp_path / "report.html", page)
    write_page(tmp_path / "report.html", page)
    (tmp_path / "thesis.html").write_text("<p>mine</p>")
    with pytest.raises(DataError, match="no page of wsitools"):
        write_page(tmp_path / "thesis.html", page)
    assert (tmp_path / "thesis.html").read_text() == "<p>mine</p>"
