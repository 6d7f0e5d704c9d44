"""What a section of a page shows: charts with their words, and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from wsi_tools.report.charts import Look

__all__ = ["Figure", "Matrix", "Table", "look_of", "number"]

LOOKS: tuple[Look, ...] = ("c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8")


@dataclass(frozen=True)
class Table:
    """Rows under a header; every cell is text."""

    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Figure:
    """A chart and what a reader must know to read it.

    Attributes:
        title: what it is.
        caption: how to read it, and what it does not show.
        chart: the SVG.
        legend: what each look of a mark stands for.
        table: numbers that belong under the chart.
    """

    title: str
    caption: str
    chart: Markup
    legend: tuple[tuple[str, str], ...] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Matrix:
    """How often each true class was called each class.

    Attributes:
        names: of the classes.
        counts: ``counts[true][called]`` patients.
        caption: who is counted, and how classes were called.
    """

    names: tuple[str, ...]
    counts: Sequence[Sequence[int]]
    caption: str = ""

    @property
    def shares(self) -> list[list[float]]:
        """Each count as a share of its true class."""
        return [[count / max(1, sum(row)) for count in row] for row in self.counts]


def look_of(place: int, total: int) -> Look:
    """The look of one of several folds; where there are too many to tell apart, all are muted."""
    return LOOKS[place] if total <= len(LOOKS) else "muted"


def number(value: float | None, digits: int = 3) -> str:
    """A number as the page writes it; a dash for what is undefined."""
    if value is None or value != value:
        return "–"
    text = f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.4g}"
    return text.replace("-", "−")
