"""What a model is to predict: how each kind of target is read from a row, checked, and divided.

A target gives one value per slide: a class index, a multi-hot vector, a number, or a follow-up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import quantiles
from typing import Protocol, Self, TypeVar

from wsi_tools.cohort.events import EventCoding
from wsi_tools.cohort.tables import Cells, number
from wsi_tools.errors import DataError, InputError

__all__ = [
    "Classification",
    "FollowUp",
    "Multilabel",
    "Regression",
    "Survival",
    "Target",
    "Value",
]

BINS = 4  # of time or of a regressed number, to stratify by


@dataclass(frozen=True)
class FollowUp:
    """How long a patient was seen, and whether the event ended it (else: censored)."""

    time: float
    event: bool


Value = int | float | tuple[int, ...] | FollowUp


class Target(Protocol):
    """What is predicted; `read` raises `ValueError` with a reason, the caller adds the place."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is read from."""

    def settle(self, rows: Sequence[Cells]) -> Self:
        """Fix what depends on the whole table, such as the label map.

        Raises:
            DataError: nothing can be learnt from the table.
        """

    def read(self, cells: Cells) -> Value:
        """The value of a row."""

    def group(self, value: Value) -> str:
        """What no training fold should lack one of: the class, or whether there was an event."""

    def strata(self, values: Sequence[Value]) -> list[str]:
        """What folds are balanced over, for each of the values."""


@dataclass(frozen=True)
class Classification:
    """One of several classes; the value is the index into `classes`.

    Attributes:
        label: the column.
        classes: the label map; sorted labels if not given (numbers by their value).
    """

    label: str
    classes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The label's column."""
        return (self.label,)

    def settle(self, rows: Sequence[Cells]) -> "Classification":
        """Find the classes.

        Raises:
            DataError: there is but one.
        """
        found = {label for row in rows if (label := row[self.label]) is not None}
        classes = self.classes or tuple(_sorted(found))
        if len(classes) < 2 or len(found) < 2:
            only = ", ".join(found) or "nothing"
            raise DataError(f"column {self.label!r} holds {only} alone; two classes are needed")
        return replace(self, classes=classes)

    def read(self, cells: Cells) -> int:
        """The index of the row's class."""
        label = _present(cells, self.label)
        if label not in self.classes:
            raise ValueError(
                f"{self.label} {label!r} is no known label; known are {', '.join(self.classes)}"
            )
        return self.classes.index(label)

    def group(self, value: Value) -> str:
        """The class by name."""
        return self.classes[_as(value, int)]

    def strata(self, values: Sequence[Value]) -> list[str]:
        """The classes."""
        return [self.group(value) for value in values]


@dataclass(frozen=True)
class Multilabel:
    """Several labels, each there (1) or not (0); the value is multi-hot."""

    labels: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """A column per label."""
        return self.labels

    def settle(self, rows: Sequence[Cells]) -> "Multilabel":
        """Make sure that every label has both values.

        Raises:
            DataError: one has not.
        """
        for label in self.labels:
            if len(found := {cell for row in rows if (cell := row[label]) is not None}) < 2:
                raise DataError(f"column {label!r} holds {', '.join(found) or 'nothing'} alone")
        return self

    def read(self, cells: Cells) -> tuple[int, ...]:
        """The labels as zeros and ones."""
        return tuple(_bit(label, _present(cells, label)) for label in self.labels)

    def group(self, value: Value) -> str:
        """The labels that are there, joined by +."""
        bits = zip(self.labels, _as(value, tuple), strict=True)
        return "+".join(label for label, bit in bits if bit) or "none"

    def strata(self, values: Sequence[Value]) -> list[str]:
        """The combinations of labels."""
        return [self.group(value) for value in values]


@dataclass(frozen=True)
class Regression:
    """A number."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The number's column."""
        return (self.column,)

    def settle(self, rows: Sequence[Cells]) -> "Regression":
        """Make sure that there is something to explain.

        Raises:
            DataError: all numbers are the same.
        """
        if len({row[self.column] for row in rows}) < 2:
            raise DataError(f"column {self.column!r} is the same everywhere; name another")
        return self

    def read(self, cells: Cells) -> float:
        """The number."""
        return _number(self.column, _present(cells, self.column))

    def group(self, value: Value) -> str:
        """No value must be in every training fold."""
        return "all"

    def strata(self, values: Sequence[Value]) -> list[str]:
        """Quarters of the values."""
        numbers = [float(_as(value, (int, float))) for value in values]
        inner = edges(numbers)
        return [f"bin {_bin(each, inner)}" for each in numbers]


@dataclass(frozen=True)
class Survival:
    """Time until an event, or until the patient was last seen.

    Attributes:
        time: the column of the times, in any unit.
        event: which value of which column means what.
    """

    time: str
    event: EventCoding

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of times and events."""
        return (self.time, self.event.column)

    def settle(self, rows: Sequence[Cells]) -> "Survival":
        """Make sure that the coding fits the column.

        Raises:
            DataError: it does not, or nobody had an event.
        """
        events = self.event.check([row[self.event.column] for row in rows])
        if not events:
            raise DataError(
                f"column {self.event.column!r}: no event at all, everyone is censored; "
                "check --event or --censored"
            )
        return self

    def read(self, cells: Cells) -> FollowUp:
        """The follow-up."""
        time = _number(self.time, _present(cells, self.time))
        if time < 0:
            raise ValueError(f"{self.time} is {time:g}; a time cannot be negative")
        return FollowUp(time, self.event.is_event(_present(cells, self.event.column)))

    def group(self, value: Value) -> str:
        """Whether the event was seen."""
        return "event" if _as(value, FollowUp).event else "censored"

    def strata(self, values: Sequence[Value]) -> list[str]:
        """Event × quarter of the times of events."""
        follow_ups = [_as(value, FollowUp) for value in values]
        inner = edges([each.time for each in follow_ups if each.event])
        return [f"{self.group(each)}, bin {_bin(each.time, inner)}" for each in follow_ups]


def edges(numbers: Sequence[float], bins: int = BINS) -> tuple[float, ...]:
    """Inner edges of bins that hold equally many numbers; equal edges are merged."""
    if len(numbers) < 2:
        return ()
    return tuple(sorted(set(quantiles(numbers, n=bins, method="inclusive"))))


Kind = TypeVar("Kind")


def _as(value: Value, kind: type[Kind] | tuple[type[Kind], ...]) -> Kind:
    if not isinstance(value, kind):
        raise InputError(f"{value!r} is no value of this target")
    return value


def _present(cells: Mapping[str, str | None], column: str) -> str:
    text = cells[column]
    if text is None:
        raise ValueError(f"{column} is missing; fill it in, or take the row out")
    return text


def _number(column: str, text: str) -> float:
    try:
        return number(text)
    except ValueError:
        raise ValueError(f"{column} {text!r} is no finite number") from None


def _bit(column: str, text: str) -> int:
    bits = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
    if text.lower() not in bits:
        raise ValueError(f"{column} {text!r} is neither 0 nor 1")
    return bits[text.lower()]


def _bin(value: float, inner: Sequence[float]) -> int:
    """The number of the bin; a value on an edge falls in the lower one."""
    return sum(value > edge for edge in inner)


def _sorted(labels: Iterable[str]) -> list[str]:
    """By value where all are numbers, else as text."""
    try:
        return sorted(labels, key=lambda label: (number(label), label))
    except ValueError:
        return sorted(labels)
