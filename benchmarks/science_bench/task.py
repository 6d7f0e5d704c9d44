"""What every task of the bench is: a recipe that one seed runs, and what it should show."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["CHANCE", "ORACLE", "Figures", "Size", "Target", "Task"]

ORACLE = "oracle"
"""The row of who knows how the cases were made."""

CHANCE = "chance"
"""The row of who guesses at random."""

Figures = Mapping[tuple[str, str], float]
"""(row, measure) -> what one seed found."""


@dataclass(frozen=True)
class Size:
    """How many cases a run makes and how many steps it trains."""

    train: int
    test: int
    steps: int

    def __str__(self) -> str:
        return f"{self.train} training cases, {self.test} test cases, {self.steps} steps"


@dataclass(frozen=True)
class Target:
    """A figure that should lie between two bounds in every seed but `misses` of five."""

    row: str
    measure: str
    low: float = -math.inf
    high: float = math.inf
    misses: int = 0

    def met(self, value: float) -> bool:
        """Whether one seed's figure lies within the bounds."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        bounds = ((f"≥ {self.low:g}", self.low), (f"≤ {self.high:g}", self.high))
        return f"{self.measure} " + ", ".join(
            text for text, bound in bounds if math.isfinite(bound)
        )


@dataclass(frozen=True)
class Task:
    """A recipe.

    Attributes:
        title: one line.
        run: from a seed and a size to every figure.
        targets: what the figures should show.
        full: the size of the published figures.
        toy: a size that only proves that the code runs.
    """

    title: str
    run: Callable[[int, Size], Figures]
    targets: tuple[Target, ...]
    full: Size
    toy: Size
