"""Reports: pages that hold all they show, of a run and of a project."""

from wsi_tools.report.contents import contents
from wsi_tools.report.pages import render, write_page
from wsi_tools.report.run import RunRecord, read_run
from wsi_tools.report.slides import Shown, make_slides
from wsi_tools.report.truth import Truth, read_truth

__all__ = [
    "RunRecord",
    "Shown",
    "Truth",
    "contents",
    "make_slides",
    "read_run",
    "read_truth",
    "render",
    "write_page",
]
