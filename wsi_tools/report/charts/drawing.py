"""A chart with two axes; marks carry classes of the style sheet, never colours."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from wsi_tools.report.charts.axes import Axis

__all__ = ["Chart", "Look", "Point"]

Look = Literal["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "muted"]
Point = tuple[float, float]

WIDTH, HEIGHT = 360, 264  # of the drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 42  # of the margins


class Chart:
    """An SVG figure that is drawn mark by mark.

    Args:
        key: a word that no other chart of the page has.
        title: what it is.
        about: what there is to see, for those who cannot see it.
        x: the horizontal axis.
        y: the vertical axis.
    """

    def __init__(self, key: str, title: str, about: str, x: Axis, y: Axis) -> None:
        self.x, self.y = x, y
        names = f"{key}-title {key}-about"
        box = f"0 0 {WIDTH} {HEIGHT}"
        self._svg = Element("svg", viewBox=box, role="img")
        self._svg.attrib |= {"class": "chart", "aria-labelledby": names}
        SubElement(self._svg, "title", id=f"{key}-title").text = title
        SubElement(self._svg, "desc", id=f"{key}-about").text = about
        self._draw_axes()

    def line(
        self, points: Sequence[Point], look: Look, *, dashed: bool = False, steps: bool = False
    ) -> None:
        """Join points, by a stair where the value holds until the next point."""
        corners = _stair(points) if steps else points
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._at, corners))
        self._add("polyline", f"line {look}{' dashed' if dashed else ''}", points=path)

    def dots(self, points: Sequence[Point], look: Look, hints: Sequence[str] = ()) -> None:
        """A dot at each point; a hint shows under the pointer."""
        for number, (x, y) in enumerate(map(self._at, points)):
            dot = self._add("circle", f"dot {look}", cx=f"{x:.1f}", cy=f"{y:.1f}", r="3.2")
            if hints:
                SubElement(dot, "title").text = hints[number]

    def whisker(self, x: float, low: float, high: float, look: Look) -> None:
        """An upright interval."""
        self._segment((x, low), (x, high), f"whisker {look}")

    def rule(self, x: float, text: str) -> None:
        """An upright line over the whole height, with a word beside it."""
        self._segment((x, self.y.low), (x, self.y.high), "rule")
        beyond = self.x.place(x) > 0.6
        left, _ = self._at((x, 0))
        anchor, shift = ("end", -4) if beyond else ("start", 4)
        self._write(text, left + shift, TOP + 9, "note", anchor)

    def diagonal(self) -> None:
        """The line on which both axes agree."""
        low, high = max(self.x.low, self.y.low), min(self.x.high, self.y.high)
        self._segment((low, low), (high, high), "rule")

    def level(self, y: float) -> None:
        """A level line over the whole width."""
        self._segment((self.x.low, y), (self.x.high, y), "rule")

    def markup(self) -> Markup:
        """The figure, ready for a page: text in it is escaped."""
        return Markup(tostring(self._svg, encoding="unicode"))

    def _at(self, point: Point) -> Point:
        x = LEFT + self.x.place(point[0]) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - self.y.place(point[1]) * (HEIGHT - TOP - BOTTOM)
        return x, y

    def _draw_axes(self) -> None:
        for tick in self.y.ticks:
            _, y = self._at((0, tick))
            self._segment((self.x.low, tick), (self.x.high, tick), "gridline")
            self._write(f"{tick:.6g}", LEFT - 6, y + 3.5, "tick", "end")
        for tick in self.x.ticks:
            x, _ = self._at((tick, 0))
            self._write(f"{tick:.6g}", x, HEIGHT - BOTTOM + 15, "tick", "middle")
        self._segment((self.x.low, self.y.low), (self.x.high, self.y.low), "axis")
        centre = LEFT + (WIDTH - LEFT - RIGHT) / 2
        self._write(self.x.label, centre, HEIGHT - 6, "label", "middle")
        middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
        text = self._write(self.y.label, 11, middle, "label", "middle")
        text.set("transform", f"rotate(-90 11 {middle:.1f})")

    def _segment(self, start: Point, end: Point, classes: str) -> None:
        (x1, y1), (x2, y2) = self._at(start), self._at(end)
        ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        self._add("line", classes, **{name: f"{value:.1f}" for name, value in ends.items()})

    def _write(self, text: str, x: float, y: float, classes: str, anchor: str) -> Element:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
        written = self._add("text", classes, **place)
        written.text = text
        return written

    def _add(self, kind: str, classes: str, **attributes: str) -> Element:
        return SubElement(self._svg, kind, {"class": classes, **attributes})


def _stair(points: Sequence[Point]) -> list[Point]:
    """The corners of a stair through the points, level before it falls."""
    corners = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        corners += [(x, before), (x, y)]
    return corners
