"""Axes are round, marks lie where their numbers are, and text is escaped."""

import xml.etree.ElementTree as ET

import pytest

from wsi_tools.report.charts import Axis, Chart, spread


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0, 1), (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ((0.3, 9.1), (0, 2, 4, 6, 8, 10)),
        ((-3, 12), (-5, 0, 5, 10, 15)),
        ((7, 7), (6.4, 6.6, 6.8, 7.0, 7.2, 7.4, 7.6)),
        ((float("nan"), 2, 102), (0, 20, 40, 60, 80, 100, 120)),
    ],
)
def test_an_axis_is_round_and_holds_its_values(values, ticks):
    assert Axis.around("x", values).ticks == pytest.approx(ticks)


def test_epochs_are_counted_in_whole_numbers():
    assert Axis.around("epoch", (1, 3), zero=True, whole=True).ticks == (0, 1, 2, 3)


def test_nothing_lies_outside_its_axis():
    axis = Axis.share("p")
    assert [axis.place(value) for value in (-1, 0, 0.25, 1, 7)] == [0, 0, 0.25, 1, 1]


def chart():
    return Chart("key", "A title", "What there is to see", Axis.share("x"), Axis.share("y"))


def drawn(chart):
    return ET.fromstring(chart.markup())


def test_a_point_lies_where_its_numbers_are():
    """The plot is 52 to 348 along x, 222 up to 10 along y."""
    (figure := chart()).dots([(0.5, 0.25)], "c1")
    (dot,) = drawn(figure).iter("circle")
    assert (dot.get("cx"), dot.get("cy")) == ("200.0", "169.0")


def test_a_stair_holds_its_value_until_the_next_point():
    (figure := chart()).line([(0, 1), (0.5, 0.5), (1, 0)], "c1", steps=True)
    (line,) = drawn(figure).iter("polyline")
    corners = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    assert corners == [(52, 10), (200, 10), (200, 116), (348, 116), (348, 222)]


def test_a_chart_says_what_it_shows_to_those_who_cannot_see_it():
    svg = drawn(chart())
    named = {each.get("id"): each.text for each in svg if each.tag in ("title", "desc")}
    assert svg.get("role") == "img"
    assert [named[name] for name in svg.get("aria-labelledby").split()] == [
        "A title",
        "What there is to see",
    ]


def test_text_of_a_chart_is_escaped():
    name = '<script>"&'
    figure = Chart("k", name, name, Axis.share(name), Axis.share(name))
    figure.dots([(0, 0)], "c1", [name])
    assert "<script>" not in figure.markup()
    assert [each.text for each in drawn(figure).iter("title")] == [name, name]


def test_a_spread_leaves_out_what_is_undefined():
    nan = float("nan")
    svg = ET.fromstring(spread([0.5, nan, 1.0], (0.75, nan, nan), Axis.share("x"), "in words"))
    assert len(list(svg.iter("circle"))) == 2
    assert [each.get("class") for each in svg.iter("line")] == ["gridline", "ink"]
    assert svg.get("aria-label") == "in words"
