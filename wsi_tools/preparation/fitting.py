"""The scale of one slide's markers, measured before any slide is embedded on it."""

from collections.abc import Callable
from dataclasses import dataclass

from wsi_tools.channels import MatchedPanel, Statistics
from wsi_tools.channels.statistics import fitted
from wsi_tools.errors import SlideError
from wsi_tools.execution import Report
from wsi_tools.preparation import Preparation, Task
from wsi_tools.preparation.forecast import Outlook
from wsi_tools.preparation.measuring import tissue_values
from wsi_tools.slide import SlideInfo

__all__ = ["ScaleFitting"]


@dataclass(frozen=True)
class ScaleFitting:
    """Measures slides as a preparation would see them; nothing is written.

    Attributes:
        preparation: whose tissue, tiles, panel and rule are taken.
        matched: finds the markers of a slide; None takes all of the panel's, none may be missing.
    """

    preparation: Preparation
    matched: Callable[[SlideInfo], MatchedPanel] | None = None

    def __call__(self, task: Task, report: Report) -> tuple[Statistics, str]:
        """Measure one slide; also its fingerprint.

        Raises:
            SlideError: it is brightfield.
            DataError: it lacks a marker, or has no tissue.
        """
        assert self.preparation.embedding is not None
        report("measure", 0, 1)
        with self.preparation.opened(task) as slide:
            info, asked = slide.info, self.preparation.embedding.markers
            if not info.multiplex:
                raise SlideError(f"{info.path.name}: is brightfield; take it out of the table")
            tissue, grid = Outlook(self.preparation, slide, task).ground()
            panel = asked.panel_of(info)
            matched = self.matched(info) if self.matched else panel.matched(info)
            values = tissue_values(slide, grid, tissue, matched)
            rule = asked.rule(panel)
            return fitted(rule, matched.names, values, task.slide_id), info.fingerprint
