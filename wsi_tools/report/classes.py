"""Figures of probabilities: ROC, precision and recall, reliability, confusion."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from wsi_tools.metrics import ClassRows, LabelRows
from wsi_tools.metrics.agreement import confusion
from wsi_tools.metrics.curves import curves
from wsi_tools.report.charts import Axis, Chart, Point
from wsi_tools.report.figures import Figure, Matrix, look_of

__all__ = ["confusion_matrix", "probability_figures"]

MOST = 8  # classes or labels that get figures of their own
Lines = Sequence[tuple[object, ...]]


def probability_figures(rows: ClassRows | LabelRows) -> Iterator[Figure]:
    """ROC, precision-recall and reliability of every class; of two classes, of the second."""
    tables = {curve.name: curve.points for curve in curves(rows)}
    for place, name in enumerate(_names(rows)[:MOST]):
        lines = {
            table: [point for point in points if name in point[:2]]
            for table, points in tables.items()
        }
        yield _folds(f"roc-{place}", name, lines["roc"], precision=False)
        yield _folds(f"precision-{place}", name, lines["precision_recall"], precision=True)
        yield _reliability(f"reliability-{place}", name, [p[1:] for p in lines["calibration"]])


def confusion_matrix(rows: ClassRows) -> Matrix:
    """The patients of all folds, by true and called class."""
    once = np.ones((1, len(rows)))
    counts = confusion(rows.truth, rows.predicted, len(rows.classes), once).counts[0]
    return Matrix(rows.classes, counts.astype(int).tolist(), _calling(rows))


def _calling(rows: ClassRows) -> str:
    called = "at each fold’s operating threshold" if len(rows.classes) == 2 else "the likeliest"
    once = len(np.unique(rows.patient)) == len(rows)
    again = "" if once else " Who was tested several times counts as often."
    return (
        f"Test patients by true class (rows) and called class (columns; {called}). Shares are of "
        f"the row.{again}"
    )


def _names(rows: ClassRows | LabelRows) -> tuple[str, ...]:
    if isinstance(rows, LabelRows):
        return rows.labels
    return rows.classes[1:] if len(rows.classes) == 2 else rows.classes


def _folds(key: str, name: str, lines: Lines, *, precision: bool) -> Figure:
    """A line per fold; points are (fold, class, threshold, x, y)."""
    names = ("recall", "precision") if precision else ("false positive rate", "sensitivity")
    title = f"{'Precision and recall' if precision else 'ROC'} · {name}"
    folds = list(dict.fromkeys(str(line[0]) for line in lines))
    about = f"{names[1].capitalize()} against {names[0]}, a line for each of {len(folds)} folds."
    chart = Chart(key, title, about, Axis.share(names[0]), Axis.share(names[1]))
    if not precision:
        chart.diagonal()
    for place, fold in enumerate(folds):
        points = [_point(line[3:]) for line in lines if str(line[0]) == fold]
        chart.line(points, look_of(place, len(folds)))
    shown = ((look_of(place, len(folds)), f"fold {fold}") for place, fold in enumerate(folds))
    legend = tuple(shown) if len(folds) <= 8 else (("muted", "one fold each"),)
    caption = f"{about} Test patients alone; folds in which it is undefined are missing."
    return Figure(title, caption, chart.markup(), legend)


def _reliability(key: str, name: str, lines: Lines) -> Figure:
    """Observed frequency by predicted probability; points are (bin, predicted, observed, n)."""
    title = f"Reliability · {name}"
    about = "Observed frequency by predicted probability, in bins of equally many test patients."
    x, y = Axis.share("predicted probability"), Axis.share("observed frequency")
    chart = Chart(key, title, about, x, y)
    chart.diagonal()
    points = [_point(line[1:3]) for line in lines]
    sizes = [int(str(line[3])) for line in lines]
    for (predicted, observed), size in zip(points, sizes, strict=True):
        chart.whisker(predicted, *_wilson(observed, size), "c1")
    hints = [
        f"{p:.2f} predicted, {o:.2f} seen, n = {n}" for (p, o), n in zip(points, sizes, strict=True)
    ]
    chart.line(points, "c1")
    chart.dots(points, "c1", hints)
    caption = f"{about} On the diagonal, probabilities can be taken at their word. Whiskers: 95 %."
    return Figure(title, caption, chart.markup())


def _wilson(share: float, size: int) -> Point:
    """The 95 % interval of a share (Wilson, JASA 1927)."""
    z = 1.959964
    centre = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2)
    return centre - half, centre + half


def _point(values: Sequence[object]) -> Point:
    x, y = (float(str(value)) for value in values)
    return x, y
