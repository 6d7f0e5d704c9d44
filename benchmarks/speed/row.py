"""A row of the table: what is measured beside what, what it should reach, and what was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speed.sizes import Size
from speed.slides import Slides
from speed.timing import Pair, Spread, spread

__all__ = ["Bench", "Fact", "Measured", "Row", "UnmeasuredError"]


class UnmeasuredError(Exception):
    """Why a row cannot be measured here and now."""


@dataclass(frozen=True)
class Bench:
    """What a row measures on.

    Attributes:
        folder: for what is made once and kept.
        size: how much of it.
        slides: that are there, or are made when they are asked for.
    """

    folder: Path
    size: Size
    slides: Slides


@dataclass(frozen=True)
class Fact:
    """What must be true beside a ratio for it to count.

    Attributes:
        name: of what was compared.
        holds: whether it is so.
        value: by how much; None where it is or is not.
    """

    name: str
    holds: bool
    value: float | None = None


@dataclass(frozen=True)
class Measured:
    """What a row found.

    Attributes:
        pairs: every sample.
        facts: of the same data.
        amount: what one run did, such as ``4,000 tiles``.
        detail: what else a reader should know of this run.
    """

    pairs: tuple[Pair, ...]
    facts: tuple[Fact, ...]
    amount: str
    detail: str = ""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        key: its name on the command line.
        stage: what is measured.
        beside: what stands next to it.
        target: the ratio to reach: at least, or at most where `cost`.
        stretch: a better one.
        measure: how.
        cost: the ratio is ours ÷ theirs, to be small; otherwise theirs ÷ ours, to be large.
        by: the sample that decides, ``wall``, ``cpu`` or ``mib``.
    """

    key: str
    stage: str
    beside: str
    target: float
    stretch: float | None
    measure: Callable[[Bench], Measured]
    cost: bool = False
    by: str = "wall"

    def ratio(self, pairs: Sequence[Pair], by: str | None = None) -> Spread:
        """The ratio over the pairs, of one kind of sample."""
        name = by or self.by
        return spread([self._ratio(pair.ours, pair.beside, name) for pair in pairs])

    def reached(self, ratio: float, goal: float) -> bool:
        """Whether a ratio is as good as a goal."""
        return ratio <= goal if self.cost else ratio >= goal

    def _ratio(self, ours: Mapping[str, float], beside: Mapping[str, float], name: str) -> float:
        return ours[name] / beside[name] if self.cost else beside[name] / ours[name]
