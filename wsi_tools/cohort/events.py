"""Which value of which column means that the event was seen; never guessed from the data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wsi_tools.cohort.tables import number
from wsi_tools.errors import DataError, InputError

__all__ = ["EventCoding", "event_coding"]

AMBIGUOUS = re.compile(r"cens|^(vital_?)?status$|_status$", re.IGNORECASE)
BITS = {"0": False, "false": False, "1": True, "true": True}


@dataclass(frozen=True)
class EventCoding:
    """How the event column is written.

    Attributes:
        column: its name.
        value: the value that tells; None where 1 (or true) is an event and 0 (or false) is none.
        censored: whether `value` marks the censored, not the events.
    """

    column: str
    value: str | None = None
    censored: bool = False

    def is_event(self, text: str) -> bool:
        """Whether a cell stands for an event.

        Raises:
            ValueError: no value was named, and the cell is neither 0 nor 1.
        """
        if self.value is not None:
            return _same(text, self.value) != self.censored
        if (bit := _plain(text).lower()) not in BITS:
            raise ValueError(
                f"{self.column} {text!r} is neither 0 nor 1; say --event {self.column}={text} "
                f"or --censored {self.column}={text}"
            )
        return BITS[bit]

    def check(self, cells: Sequence[str | None]) -> int:
        """Count the events of a column.

        Raises:
            DataError: the value named is nowhere in it, or a cell is neither 0 nor 1.
        """
        present = [cell for cell in cells if cell is not None]
        if self.value is not None and not any(_same(cell, self.value) for cell in present):
            found = ", ".join(sorted(set(present))[:8]) or "nothing"
            raise DataError(f"column {self.column!r} never is {self.value!r}; it holds {found}")
        try:
            return sum(self.is_event(cell) for cell in present)
        except ValueError as error:
            raise DataError(str(error)) from None


def event_coding(event: str | None = None, censored: str | None = None) -> EventCoding:
    """Read ``--event COL=VALUE`` or ``--censored COL=VALUE``.

    ``--event COL`` alone means 1 for an event and 0 for none, and is refused for a column whose
    name does not say which it holds (``cens…``, ``status``); ``--censored`` needs its value.

    Raises:
        InputError: both or neither were given, or a value must be named.
    """
    if (event is None) == (censored is None):
        raise InputError("give either --event COL=VALUE or --censored COL=VALUE")
    column, _, value = (event or censored or "").partition("=")
    if not value and (censored is not None or AMBIGUOUS.search(column)):
        raise InputError(
            f"{column}: its name does not say what its values mean; give --event {column}=VALUE "
            f"with the value of an event, or --censored {column}=VALUE"
        )
    return EventCoding(column, value or None, censored is not None)


def _plain(text: str) -> str:
    """The same text for the same number: 1, 1.0 and 01."""
    try:
        value = number(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() else str(value)


def _same(text: str, other: str) -> bool:
    return _plain(text) == _plain(other)
