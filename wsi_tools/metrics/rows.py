"""What is evaluated: a row per patient and fold, its truth beside what was predicted."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.ratio import Array

__all__ = ["ClassRows", "LabelRows", "Rows", "SurvivalRows", "ValueRows"]

Index = NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """Patients in the folds that tested them; a patient has one row per repeat and seed.

    Attributes:
        patient: ``(n,)`` names.
        fold: ``(n,)`` names; rows are ranked against rows of their own fold alone.
    """

    patient: NDArray[np.str_]
    fold: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.patient)

    def take(self, which: Index) -> Self:
        """Some of the rows."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        cut = {k: v[which] for k, v in arrays.items() if isinstance(v, np.ndarray)}
        return replace(self, **cut)

    def folds(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Each fold with its places among the rows."""
        for name in np.unique(self.fold):
            yield str(name), np.flatnonzero(self.fold == name)


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassRows(Rows):
    """One of several classes.

    Attributes:
        truth: ``(n,)`` int64, index into `classes`.
        prob: ``(n, classes)``.
        predicted: ``(n,)`` int64, the class that was called.
        classes: names, of two the second is the positive one.
        ordered: the names ascend.
    """

    truth: NDArray[np.int64]
    prob: Array
    predicted: NDArray[np.int64]
    classes: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelRows(Rows):
    """Any number of labels.

    Attributes:
        truth: ``(n, labels)`` bool.
        prob: ``(n, labels)``.
        labels: names.
    """

    truth: NDArray[np.bool_]
    prob: Array
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class ValueRows(Rows):
    """Numbers.

    Attributes:
        truth: ``(n,)``.
        value: ``(n,)`` predicted, in the same unit.
    """

    truth: Array
    value: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class SurvivalRows(Rows):
    """Follow-ups.

    Attributes:
        time: ``(n,)`` in any one unit.
        event: ``(n,)`` bool, whether the event was seen.
        risk: ``(n,)``, higher for an earlier event.
        survival: ``(n, horizons)`` predicted chance of surviving each horizon.
        horizons: times, in the same unit.
    """

    time: Array
    event: NDArray[np.bool_]
    risk: Array
    survival: Array
    horizons: tuple[float, ...] = ()
