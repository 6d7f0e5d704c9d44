"""The same slide of a patient whose record differs in one place: what changes, and where."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsi_tools.cohort import Case
from wsi_tools.cohort.clinical import Categories, Numbers, Scaler
from wsi_tools.errors import InputError
from wsi_tools.heatmap.scale import Scaled
from wsi_tools.heatmap.scores import ATTENTION, TileScores
from wsi_tools.prediction.table import as_csv

__all__ = ["Change", "WhatIf", "change_of", "changed", "contrast", "what_if_csv"]

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Change:
    """A clinical column and the value it would have."""

    column: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}={self.value}"


@dataclass(frozen=True, eq=False)
class WhatIf:
    """A slide as it is seen, and as it would be.

    Attributes:
        change: of the record.
        was: the value the record has; None where it has none.
        before: the scores.
        after: the scores with the other record, of the same tiles and by the same models.
    """

    change: Change
    was: str | None
    before: TileScores
    after: TileScores

    def difference(self, name: str = ATTENTION) -> Values:
        """How much more of a score each tile would have, ``(N,)``.

        Where ``attention`` is of the class that is predicted, it stays the class of the record as
        it is.

        Raises:
            InputError: there is no such score.
        """
        same = f"{ATTENTION}:{self.before.of}" if name == ATTENTION and self.before.of else name
        return self.after.score(same) - self.before.score(same)

    def row(self) -> dict[str, object]:
        """The line of a table: the column, its values, and every prediction before and after."""
        told: dict[str, object] = {
            "slide_id": self.before.slide_id,
            "column": self.change.column,
            "was": self.was,
            "would_be": self.change.value,
        }
        for name, value in self.before.predicted.items():
            told |= {name: value, f"{name}_would_be": self.after.predicted[name]}
        return told


def change_of(text: str) -> Change:
    """Read ``COLUMN=VALUE``.

    Raises:
        InputError: it is not of that form.
    """
    column, equals, value = text.partition("=")
    if not (column.strip() and equals and value.strip()):
        raise InputError(f"--what-if {text}: give COLUMN=VALUE, such as age=70")
    return Change(column.strip(), value.strip())


def changed(case: Case, change: Change, scalers: Iterable[Scaler]) -> Case:
    """The case with another cell.

    Args:
        case: as it is.
        change: of its record.
        scalers: of the models' clinical tables.

    Raises:
        InputError: no model reads that column, or none can make anything of the value.
    """
    columns = [column for scaler in scalers for column in scaler.columns]
    read = tuple(dict.fromkeys(column.column for column in columns))
    if change.column not in read:
        known = f"it reads {', '.join(read)}" if read else "it reads no clinical column"
        raise InputError(f"--what-if {change}: the model does not read {change.column!r}; {known}")
    _refuse_unseen(change, [column for column in columns if column.column == change.column])
    cells: Mapping[str, str | None] = {**case.cells, change.column: change.value}
    return replace(case, cells=cells)


def _refuse_unseen(change: Change, columns: Sequence[Numbers | Categories]) -> None:
    """Refuse what is no number of a column of numbers, and a name that was in no training fold.

    Such a name reads as a missing one: the answer would be that to another question.
    """
    names = {name for each in columns if isinstance(each, Categories) for name in each.names}
    if names and change.value not in names:
        known = ", ".join(sorted(names))
        raise InputError(f"--what-if {change}: the training folds knew {known}")
    try:
        for each in columns:
            list(each.encode(change.value))
    except ValueError:
        raise InputError(f"--what-if {change}: give a number, as in the training fold") from None


def contrast(values: Values) -> Scaled:
    """A scale that has no change in its middle."""
    known = np.abs(values[np.isfinite(values)])
    most = float(known.max(initial=0.0)) or 1.0
    return Scaled(values, -most, most, "difference")


def what_if_csv(what_ifs: Sequence[WhatIf]) -> str:
    """The table of several changes of one slide's record, a line each."""
    rows = [what_if.row() for what_if in what_ifs]
    return as_csv(list(rows[0]), [list(row.values()) for row in rows])
