"""Predictions as a table, a row per slide."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from wsi_tools.prediction.ensemble import Prediction

__all__ = ["as_csv", "header_of", "rows_of"]

NAMES = ("slide_id", "patient_id", "fold")


def header_of(columns: Sequence[str], *, spread: bool, more: Sequence[str] = ()) -> list[str]:
    """The names of the columns; with several models, ``sd_…`` of each value."""
    deviations = [f"sd_{name}" for name in columns] if spread else []
    return [*NAMES, *more, *columns, *deviations]


def rows_of(
    prediction: Prediction, fold: str, more: Sequence[object] = ()
) -> Iterator[list[object]]:
    """The rows of a case: its prediction stands with each of its slides."""
    numbers = [*prediction.values.values(), *prediction.spread.values()]
    for slide_id in prediction.case.slides:
        yield [slide_id, prediction.case.patient_id, fold, *more, *numbers]


def as_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as comma-separated lines; numbers as they read back."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return text.getvalue()
