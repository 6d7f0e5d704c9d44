"""A mask as runs of pixels in rows, far fewer than the pixels, and what of them hangs together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Runs"]

Mask = NDArray[np.bool_]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Runs:
    """Every run of True in a row of a mask, in order.

    Attributes:
        start: where each begins, as an index into the flat mask.
        end: one past its last pixel.
        shape: (h, w) of the mask.
    """

    start: Ints
    end: Ints
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Mask) -> "Runs":
        """Find the runs of a mask, bool (h, w)."""
        height, width = mask.shape
        framed = np.zeros((height, width + 1), bool)  # so that no run goes on in the next row
        framed[:, :width] = mask
        flat = framed.ravel()
        ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        if flat[0]:
            ends = np.concatenate([[0], ends])
        start, end = ends[::2], ends[1::2]
        row = start // (width + 1)
        return cls(start - row, end - row, (height, width))

    @property
    def mask(self) -> Mask:
        """The mask they were found in, bool (h, w)."""
        inside = np.arange(2 * len(self.start) + 1) % 2 == 1
        edges = np.stack([self.start, self.end], axis=1).ravel()
        lengths = np.diff(edges, prepend=0, append=self.shape[0] * self.shape[1])
        return np.repeat(inside, lengths).reshape(self.shape)

    @cached_property
    def row(self) -> Ints:
        """The row of each."""
        return self.start // self.shape[1]

    @property
    def at_an_edge(self) -> Mask:
        """Which touch an edge of the picture."""
        height, width = self.shape
        left = self.row * width
        outer = (self.row == 0) | (self.row == height - 1)
        return np.asarray(outer | (self.start == left) | (self.end == left + width))

    @property
    def gaps(self) -> "Runs":
        """The runs of what is not in the mask."""
        height, width = self.shape
        edges = np.arange(height + 1) * width
        start = np.sort(np.concatenate([edges[:-1], self.end]), kind="stable")
        end = np.sort(np.concatenate([self.start, edges[1:]]), kind="stable")
        some = start < end
        return Runs(start[some], end[some], self.shape)

    def only(self, chosen: Mask) -> "Runs":
        """Those chosen, bool (n,)."""
        return Runs(self.start[chosen], self.end[chosen], self.shape)

    def joined_across(self, gaps: "Runs") -> "Runs":
        """The same with some of their gaps filled, of which none touches an edge."""
        start = np.delete(self.start, np.searchsorted(self.start, gaps.end))
        end = np.delete(self.end, np.searchsorted(self.end, gaps.start))
        return Runs(start, end, self.shape)

    @cached_property
    def piece(self) -> Ints:
        """What each hangs together with by sides, numbered from 0 in the order of first pixels."""
        least = _least_joined(len(self.start), *self._touching)
        number = np.cumsum(least == np.arange(len(least))) - 1
        return np.asarray(number[least])

    @property
    def piece_px(self) -> Ints:
        """Pixels of each piece."""
        return np.bincount(self.piece, self.end - self.start).astype(np.intp)

    @property
    def _touching(self) -> tuple[Ints, Ints]:
        """(m,) runs and those in the next row that each shares a column with."""
        width = self.shape[1]
        first = np.searchsorted(self.end, self.start - width, side="right")
        count = np.searchsorted(self.start, self.end - width, side="left") - first
        below = np.repeat(np.arange(len(first)), count)
        nth = np.arange(len(below)) - np.repeat(np.cumsum(count) - count, count)
        return first[below] + nth, below


def _least_joined(count: int, one: Ints, other: Ints) -> Ints:
    """The least of all that each of `count` things is joined to, from pairs; (count,).

    Each round hangs every root that is the greater of a pair on the least it is paired with, so
    that in two rounds at least half of those that are still to be joined cease to be roots.
    """
    least = np.arange(count)
    while len(one):
        np.minimum.at(least, np.maximum(one, other), np.minimum(one, other))
        least = _followed(least)
        one, other = least[one], least[other]
        apart = one != other
        one, other = one[apart], other[apart]
    return least


def _followed(before: Ints) -> Ints:
    """Where each ends that goes from step to step until nothing is before it; (n,)."""
    while not np.array_equal(further := before[before], before):
        before = further
    return before
