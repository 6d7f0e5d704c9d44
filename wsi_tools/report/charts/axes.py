"""Axes: a range of numbers, where its ticks stand, and how they are written."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis"]

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # what people count in


@dataclass(frozen=True)
class Axis:
    """A range and its ticks.

    Attributes:
        label: what is measured, with its unit.
        ticks: increasing; the first and the last are the ends of the range.
    """

    label: str
    ticks: tuple[float, ...]

    @classmethod
    def share(cls, label: str) -> "Axis":
        """From 0 to 1."""
        return cls(label, (0.0, 0.25, 0.5, 0.75, 1.0))

    @classmethod
    def around(
        cls, label: str, values: Iterable[float], *, zero: bool = False, whole: bool = False
    ) -> "Axis":
        """The round range around finite values.

        Args:
            label: what is measured.
            values: those that are not finite are passed over.
            zero: the range begins or ends at 0, if not beyond it.
            whole: no tick between two whole numbers.
        """
        finite = [value for value in values if math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            low, high = low - 0.5, high + 0.5
        step = _step(high - low)
        step = max(step, 1.0) if whole else step
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(label, tuple(place * step for place in range(first, last + 1)))

    @property
    def low(self) -> float:
        """Where the range begins."""
        return self.ticks[0]

    @property
    def high(self) -> float:
        """Where it ends."""
        return self.ticks[-1]

    def place(self, value: float) -> float:
        """Where a value lies, from 0 at the low end to 1 at the high end; never outside."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def _step(span: float) -> float:
    """The round distance that divides a span into about five."""
    raw = span / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return next(step * magnitude for step in STEPS if step * magnitude >= raw * (1 - 1e-9))
