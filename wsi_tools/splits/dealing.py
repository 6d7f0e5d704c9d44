"""Patients dealt out evenly: every stratum over the folds, and a validation part from the rest.

Patients are ordered by a hash of the seed and their name, so that a split depends neither on the
order of the rows, nor on the platform, nor on the version of a library.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence

__all__ = ["deal", "draw", "shuffled"]


def shuffled(names: Collection[str], salt: str) -> list[str]:
    """The names in an order that depends on the salt alone."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}\n{name}".encode()).digest())


def deal(strata: Mapping[str, str], folds: int, salt: str) -> dict[str, int]:
    """A fold for every name: stratum after stratum is dealt out like cards.

    The counts of a stratum in two folds differ by one at most, and so do the folds' sizes.

    Args:
        strata: the stratum of each name.
        folds: how many.
        salt: another one gives another split.
    """
    order = _by_stratum(strata, salt)
    return {name: place % folds for place, name in enumerate(order)}


def draw(
    strata: Mapping[str, str], groups: Mapping[str, str], count: int, salt: str
) -> frozenset[str]:
    """A stratified sample: every m-th of the names, stratum after stratum.

    A group is never drawn whole: its first name stays, and the sample is smaller by it.

    Args:
        strata: the stratum of each name.
        groups: the group of each name.
        count: how many to draw.
        salt: another one gives another sample.
    """
    order, drawn = _by_stratum(strata, salt), set[str]()
    for place, name in enumerate(order):
        if (place + 1) * count // len(order) > place * count // len(order):
            drawn.add(name)
    return frozenset(drawn.difference(_needed(order, groups, drawn)))


def _by_stratum(strata: Mapping[str, str], salt: str) -> list[str]:
    order = shuffled(strata, salt)
    return sorted(order, key=lambda name: strata[name])  # keeps the order within a stratum


def _needed(order: Sequence[str], groups: Mapping[str, str], drawn: Collection[str]) -> list[str]:
    """The first name of each group that would be drawn whole."""
    left = {groups[name] for name in order if name not in drawn}
    first: dict[str, str] = {}
    for name in order:
        first.setdefault(groups[name], name)
    return [name for group, name in first.items() if group not in left]
