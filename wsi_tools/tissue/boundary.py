"""The boundary of a mask as rings of corners, one around each piece and each hole.

The upright sides of the boundary are found first, each as long as it can be. Walked with tissue on
the right, the head of one and the tail of another are the ends of a level side, which is thereby
known too. Where two pixels touch only at a corner, the boundary turns about each by itself; if that
makes one ring pass the corner twice, it is parted there, so that no ring meets itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.runs import Runs

__all__ = ["Rings", "rings"]

Ints = NDArray[np.intp]

WALKED = -1


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings in order of their pieces, the outer ring of each before its holes.

    Attributes:
        xy: (n, 2) corners, edges of pixels counted from the left and from the top.
        of_corner: the ring of each corner.
        of_piece: the piece of each ring, from 0.
    """

    xy: Ints
    of_corner: Ints
    of_piece: Ints


def rings(tissue: Runs) -> Rings:
    """Trace the boundary of a mask between its pixels."""
    sides = _Sides.of(tissue)
    number, ring = _Walk.along(sides).parted().ordered  # (n,) each
    rank, of_piece = _ranked(sides, number, ring)
    order = np.argsort(rank[ring], kind="stable")
    walked, of_side = number[order], rank[ring[order]]
    ends = [(sides.x[walked], y[walked]) for y in (sides.tail_y, sides.head_y)]
    xy = np.transpose(ends, (2, 0, 1)).reshape(-1, 2)  # tail, head, tail, head, …
    return Rings(xy, np.repeat(of_side, 2), of_piece)


def _ranked(sides: "_Sides", number: Ints, ring: Ints) -> tuple[Ints, Ints]:
    """The place of each ring among all, and the piece of each in that order."""
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    area = np.bincount(ring, (sides.x * (sides.head_y - sides.tail_y))[number])
    key = 2 * sides.piece[number[first]] + (area < 0)  # holes are walked the other way round
    rank = np.empty(len(key), np.intp)
    rank[np.argsort(key)] = np.arange(len(key))
    return rank, np.sort(key) // 2


@dataclass(frozen=True, eq=False)
class _Sides:
    """The upright sides; tissue lies to the right of who walks from tail to head.

    Attributes:
        x: of each, pixels from the left.
        tail_y: where it begins, pixels from the top.
        head_y: where it ends; above the tail if the tissue lies at larger x.
        piece: the piece of tissue that it bounds.
    """

    x: Ints
    tail_y: Ints
    head_y: Ints
    piece: Ints

    @classmethod
    def of(cls, tissue: Runs) -> "_Sides":
        """Find the sides: what bounds runs, in rows one below another, on the same side of each."""
        height, width = tissue.shape
        at_start = np.arange(2 * len(tissue.start)) < len(tissue.start)
        x = np.concatenate([tissue.start, tissue.end]) - np.tile(tissue.row * width, 2)
        bits = x * (height + 1) + np.tile(tissue.row, 2)  # down the columns, from the left
        order = np.argsort(bits)
        upward = at_start[order]
        goes_on = (np.diff(bits[order]) == 1) & (upward[1:] == upward[:-1])
        tops = np.flatnonzero(np.concatenate([[True], ~goes_on])) if len(order) else order
        first, length = order[tops], np.diff(tops, append=len(order))
        x, y = np.divmod(bits[first], height + 1)
        lowest, upward = y + length, at_start[first]
        tail, head = np.where(upward, lowest, y), np.where(upward, y, lowest)
        return cls(x, tail, head, np.tile(tissue.piece, 2)[first])


@dataclass(frozen=True, eq=False)
class _Walk:
    """Which side follows which, and where a ring may meet itself.

    Attributes:
        after: the side that follows each.
        meetings: (m, 3) two sides that meet at a corner of two pixels, and whether by their heads.
    """

    after: Ints
    meetings: Ints

    @classmethod
    def along(cls, sides: _Sides) -> "_Walk":
        """Join the heads and tails of each level of y from the left: every two bound a side."""
        count = len(sides.x)
        x, y = np.tile(sides.x, 2), np.concatenate([sides.tail_y, sides.head_y])
        upward = np.tile(sides.head_y < sides.tail_y, 2)
        is_lower_end = upward == (np.arange(2 * count) < count)
        # at a meeting, tissue above and to the left belongs to the side on the left
        turn = np.where(is_lower_end, np.where(upward, 2, 0), 1)
        order = np.lexsort((turn, x, y))
        left, right = order[::2], order[1::2]
        after = np.empty(count, np.intp)
        after[np.maximum(left, right) - count] = np.minimum(left, right)
        one, other = right[:-1], left[1:]
        meet = (x[one] == x[other]) & (y[one] == y[other])
        one, other = one[meet], other[meet]
        return cls(after, np.stack([one % max(count, 1), other % max(count, 1), one >= count], 1))

    def parted(self) -> "_Walk":
        """Exchange what follows two sides of one ring that meet: that makes two rings of it."""
        number, ring = self.ordered
        of_side = np.empty(len(ring), np.intp)
        of_side[number] = ring
        one, other, _ = self.meetings.T
        to_part = self.meetings[of_side[one] == of_side[other]]
        if not len(to_part):
            return self
        after, before = self.after.copy(), np.argsort(self.after)
        for side, facing, by_heads in to_part:
            first, second = (side, facing) if by_heads else (before[side], before[facing])
            after[[first, second]] = after[[second, first]]
            before[after[[first, second]]] = first, second
        return _Walk(after, self.meetings)

    @cached_property
    def ordered(self) -> tuple[Ints, Ints]:
        """The sides ring by ring as they are walked, and the number of each one's ring."""
        rings = list(self._rings())
        number = np.fromiter(chain.from_iterable(rings), np.intp, len(self.after))
        return number, np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])

    def _rings(self) -> Iterator[list[int]]:
        after: list[int] = self.after.tolist()
        for first in range(len(after)):
            ring, side = [], first
            while (following := after[side]) != WALKED:
                ring.append(side)
                after[side], side = WALKED, following
            if ring:
                yield ring
