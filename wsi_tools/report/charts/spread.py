"""How a metric spreads over the folds, on one line: the folds, and the interval around them."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from wsi_tools.report.charts.axes import Axis

__all__ = ["spread"]

WIDTH, HEIGHT, EDGE = 180, 22, 6


def spread(
    folds: Sequence[float], interval: tuple[float, float, float], axis: Axis, about: str
) -> Markup:
    """A dot per fold over the interval of all.

    Args:
        folds: values; NaN is left out.
        interval: value, low and high end; NaN is left out.
        axis: the range.
        about: the same in words.
    """
    box = f"0 0 {WIDTH} {HEIGHT}"
    svg = Element("svg", {"viewBox": box, "role": "img", "class": "spread", "aria-label": about})
    middle = HEIGHT / 2

    def at(value: float) -> str:
        return f"{EDGE + axis.place(value) * (WIDTH - 2 * EDGE):.1f}"

    def upright(value: float, classes: str, half: float) -> None:
        ends = {"y1": f"{middle - half:g}", "y2": f"{middle + half:g}"}
        SubElement(svg, "line", {"class": classes, "x1": at(value), "x2": at(value), **ends})

    level = {"y1": f"{middle:g}", "y2": f"{middle:g}"}
    SubElement(svg, "line", {"class": "gridline", "x1": at(axis.low), "x2": at(axis.high), **level})
    value, low, high = interval
    if math.isfinite(low) and math.isfinite(high):
        SubElement(svg, "line", {"class": "band", "x1": at(low), "x2": at(high), **level})
    for fold in filter(math.isfinite, folds):
        SubElement(svg, "circle", {"class": "dot c1", "cx": at(fold), "cy": level["y1"], "r": "3"})
    if math.isfinite(value):
        upright(value, "ink", 7)
    return Markup(tostring(svg, encoding="unicode"))
