"""`predictions.csv`: what models said of slides, and its mean over what belongs together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_tools.cohort.tables import Row, Table, number, read_table
from wsi_tools.errors import DataError
from wsi_tools.metrics.ratio import Array

__all__ = ["Predictions", "read_predictions"]

OUTER = ("seed", "repeat")  # trainings of one fold, where a run has several


@dataclass(frozen=True, eq=False)
class Predictions:
    """Numbers per slide (or other case) and fold.

    Attributes:
        source: the table's name, for messages.
        case: ``(n,)`` slides, or patients where a bag is a patient's.
        fold: ``(n,)`` names, with seed and repeat where there are several.
        seed: ``(n,)`` of the training; empty where the table says nothing.
        columns: names of the numbers.
        numbers: ``(n, columns)``.
    """

    source: str
    case: NDArray[np.str_]
    fold: NDArray[np.str_]
    seed: NDArray[np.str_]
    columns: tuple[str, ...]
    numbers: Array

    def take(self, which: NDArray[np.bool_]) -> "Predictions":
        """Some of the rows."""
        case, fold, seed = self.case[which], self.fold[which], self.seed[which]
        return replace(self, case=case, fold=fold, seed=seed, numbers=self.numbers[which])

    def columns_of(self, prefix: str) -> tuple[tuple[str, ...], Array]:
        """The columns that begin so, without that, and their numbers ``(n, k)``."""
        chosen = [place for place, name in enumerate(self.columns) if name.startswith(prefix)]
        names = tuple(self.columns[place].removeprefix(prefix) for place in chosen)
        return names, self.numbers[:, chosen]

    def averaged(self, over: Sequence[str]) -> "Predictions":
        """Mean numbers of the rows of a fold that share a name ``(n,)``, which becomes their case.

        The slides of a patient become one row, so that no patient counts twice.
        """
        keys, first, place = np.unique(
            np.stack((self.fold, np.asarray(over, dtype=np.str_))),
            axis=1,
            return_index=True,
            return_inverse=True,
        )
        place = place.reshape(-1)
        summed = np.zeros((keys.shape[1], len(self.columns)))
        np.add.at(summed, place, self.numbers)
        mean = summed / np.bincount(place)[:, None]
        return replace(self, fold=keys[0], case=keys[1], seed=self.seed[first], numbers=mean)


def read_predictions(path: Path) -> Predictions:
    """Read a table with ``slide_id``, ``fold``, and ``prob_…``, ``risk``, ``surv_…`` or ``value``.

    Raises:
        InputError: a column that is needed is not there.
        DataError: it cannot be read, has no predictions, a case twice in a fold, or what is no
            number.
    """
    table = read_table(path)
    table.require(("slide_id", "fold"))
    columns = tuple(name for name in table.columns if _is_number(name))
    if not columns:
        raise DataError(
            f"{table.source}: no column prob_…, risk or value; give it the predictions.csv of "
            "wsitools train or predict"
        )
    outer = [name for name in OUTER if len({row.cells.get(name) for row in table.rows}) > 1]
    predictions = Predictions(
        table.source,
        np.array([_text(table, row, "slide_id") for row in table.rows]),
        np.array([_fold(table, row, outer) for row in table.rows]),
        np.array([row.cells.get("seed") or "" for row in table.rows]),
        columns,
        np.array([[_number(table, row, name) for name in columns] for row in table.rows]),
    )
    _refuse_repetition(predictions)
    return predictions


def _is_number(name: str) -> bool:
    return name.startswith(("prob_", "surv_")) or name in ("risk", "value")


def _fold(table: Table, row: Row, outer: Sequence[str]) -> str:
    """The fold's name: below its seed and repeat as its folder is, where there are several."""
    fold = _text(table, row, "fold")
    above = [f"{name}-{_text(table, row, name)}" for name in outer]
    return "/".join((*above, f"fold-{fold}")) if above else fold


def _text(table: Table, row: Row, column: str) -> str:
    if (text := row.cells[column]) is None:
        raise DataError(f"{table.source}: line {row.line}: {column} is empty; fill it in")
    return text


def _number(table: Table, row: Row, column: str) -> float:
    text = row.cells[column]
    try:
        return number(text or "nothing")
    except ValueError:
        raise DataError(
            f"{table.source}: line {row.line}: {column} is {text or 'empty'}, no finite number; "
            "predict again"
        ) from None


def _refuse_repetition(predictions: Predictions) -> None:
    seen: set[tuple[str, str]] = set()
    for key in zip(predictions.fold.tolist(), predictions.case.tolist(), strict=True):
        if key in seen:
            raise DataError(
                f"{predictions.source}: slide {key[1]} is twice in fold {key[0]}; keep one"
            )
        seen.add(key)
