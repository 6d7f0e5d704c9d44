"""What an epoch of training sees, and in which order: drawn from a generator, nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_tools.training.recipe import Recipe

__all__ = ["Example", "balanced_batches", "event_batches", "examples", "shuffled_batches"]

Batches = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Example:
    """One bag of one epoch: a case by its number, and which random part; None for no part."""

    case: int
    part: int | None = None


def examples(sizes: Sequence[int], recipe: Recipe) -> Iterator[Example]:
    """The bags of an epoch, from the number of tiles of every case.

    A case that is larger than the recipe's bags gives as many as its tiles fill, up to the limit;
    a smaller one gives one bag of all its tiles.
    """
    for case, tiles in enumerate(sizes):
        if recipe.bag_tiles is None or tiles <= recipe.bag_tiles:
            yield Example(case)
            continue
        for part in range(min(tiles // recipe.bag_tiles, recipe.bags_per_case)):
            yield Example(case, part)


def shuffled_batches(count: int, size: int, rng: np.random.Generator) -> Batches:
    """Every number below `count` once, in batches; the last may be smaller."""
    return _chunks(rng.permutation(count), size)


def balanced_batches(classes: ArrayLike, size: int, rng: np.random.Generator) -> Batches:
    """As many draws, with replacement, as classes are given; every class is as likely."""
    drawn_from = np.asarray(classes, dtype=np.int64)
    weights = 1 / np.bincount(drawn_from)[drawn_from]
    count = len(drawn_from)
    return _chunks(rng.choice(count, size=count, p=weights / weights.sum()), size)


def event_batches(events: ArrayLike, size: int, rng: np.random.Generator) -> Batches:
    """Batches of at least `size` (of all, if there are fewer), events dealt evenly among them."""
    seen = np.asarray(events, dtype=bool)
    order = np.concatenate([rng.permutation(np.flatnonzero(kind)) for kind in (seen, ~seen)])
    number = max(1, len(seen) // size)
    return tuple(tuple(order[first::number].tolist()) for first in range(number))


def _chunks(order: NDArray[np.int64], size: int) -> Batches:
    return tuple(
        tuple(order[first : first + size].tolist()) for first in range(0, len(order), size)
    )
