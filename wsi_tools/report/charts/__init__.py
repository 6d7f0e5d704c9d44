"""Charts: a few kinds, as SVG in the page's own colours, so that they follow light and dark."""

from wsi_tools.report.charts.axes import Axis
from wsi_tools.report.charts.drawing import Chart, Look, Point
from wsi_tools.report.charts.spread import spread

__all__ = ["Axis", "Chart", "Look", "Point", "spread"]
