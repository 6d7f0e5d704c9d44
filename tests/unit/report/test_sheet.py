"""A contact sheet shows every slide, what needs a look first, in a page that can be mailed."""

import shutil

import numpy as np
import pytest
import shapely

from wsi_tools.report.pages import BUDGET_BYTES, render
from wsi_tools.report.sheet import CARD_BYTES, _picture, contact_sheet, picture_bytes
from wsi_tools.store import Project
from wsi_tools.store.project import FailureRecord
from wsi_tools.tissue import TissueMask


@pytest.fixture
def project(made, tmp_path):
    """Three complete slides, a failed one, and a torn one."""
    for number in range(4):
        name = f"P00{number}-1.zarr"
        shutil.copytree(made[1] / name, tmp_path / "proj" / name)
    (tmp_path / "proj" / "P003-1.zarr" / "zarr.json").write_text("{")
    project = Project(tmp_path / "proj")
    project.record_failure(
        FailureRecord("bad", "bad.svs", "open", "SlideError", "<b>no</b> reader")
    )
    return project


def test_what_needs_a_look_comes_first(project):
    slides = contact_sheet(project)["slides"]
    assert [(each.slide_id, each.state) for each in slides] == [
        ("bad", "failed"),
        ("P003-1", "torn"),
        ("P000-1", "complete"),
        ("P001-1", "complete"),
        ("P002-1", "complete"),
    ]


def test_a_slide_tells_its_tissue_and_what_it_holds(project):
    found = contact_sheet(project)["slides"][2]
    assert found.mm2 == pytest.approx((32 * 256 * 0.5e-3) ** 2)
    assert found.grids[0] == f"mpp0.5-px256-ov0: {found.tiles} tiles"
    assert found.grids[1] == f"synthetic: {found.tiles} × 16"
    assert found.picture.startswith("data:image/webp;base64,")


def test_a_reason_stays_text(project):
    page = render("status.html", contact_sheet(project))
    assert "open: &lt;b&gt;no&lt;/b&gt; reader" in page
    assert "<b>no</b>" not in page


def test_a_failure_of_a_slide_with_a_store_is_told_over_its_picture(project):
    project.record_failure(FailureRecord("P001-1", "a.svs", "embed", "StoreError", "no room"))
    first = contact_sheet(project)["slides"][0]
    assert (first.slide_id, first.state, first.problem) == ("P001-1", "failed", "embed: no room")
    assert first.picture


@pytest.mark.parametrize("slides", [1, 200, 1000, 5000])
def test_the_pictures_of_any_number_of_slides_leave_room_for_the_text(slides):
    room = picture_bytes(slides)
    assert 1500 < room <= 60_000
    assert slides * (room + CARD_BYTES) < BUDGET_BYTES


def test_too_many_slides_have_no_pictures():
    assert picture_bytes(10_000) == 0


def test_a_picture_is_made_smaller_until_it_fits():
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3)).astype(np.uint8)
    outline = shapely.MultiPolygon([shapely.box(0, 0, 9000, 6000)])
    tissue = TissueMask(outline, np.ones((600, 900), np.uint8), (10.0, 10.0), noise, "none", {})
    large, (width, _) = _picture(tissue, 60_000)
    assert len(large) <= 60_000
    small, (narrow, low) = _picture(tissue, 9_000)
    assert len(small) <= 9_000
    assert 64 <= narrow < width <= 320
    assert narrow / low == pytest.approx(1.5, rel=0.02)
    assert _picture(tissue, 100) == ("", (0, 0))
