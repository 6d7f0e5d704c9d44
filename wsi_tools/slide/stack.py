"""Which planes of a TIFF's picture are its channels, by the letters of its axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsi_tools.errors import SlideError

__all__ = ["Stack", "middle_and_first", "pages_of", "stack_of"]

CHANNEL_AXES = "CSIQ"  # named, samples of a pixel, pages one after another, pages of an array


@dataclass(frozen=True)
class Stack:
    """Where each channel of one level lies.

    Attributes:
        pages: index of the page, one per channel.
        samples: which of the page's interleaved samples.
        separate: which of the page's samples stored one after another.
        warnings: which z plane and time point was taken, where there are several.
    """

    pages: tuple[int, ...]
    samples: tuple[int, ...]
    separate: tuple[int, ...]
    warnings: tuple[str, ...]

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.pages)


def stack_of(level: Any) -> Stack:
    """Find the channels of one of tifffile's levels.

    Raises:
        SlideError: two axes could be the channels, or an axis has no meaning here.
    """
    lengths = dict(zip(level.axes, level.shape, strict=True))
    axis = _channel_axis(lengths)
    count = lengths.get(axis, 1)
    fixed = {"Z": lengths.get("Z", 1) // 2, "T": 0}
    _refuse_others(lengths, {axis, *fixed, *"YXS"})
    places = range(count)
    outer = [letter for letter in level.axes if letter not in "YXS"]
    at = [[place if each == axis else fixed.get(each, 0) for each in outer] for place in places]
    planar = level.keyframe.planarconfig != 1
    none = (0,) * count
    within = tuple(places) if axis == "S" else none
    return Stack(
        pages=tuple(_ravelled(each, [lengths[letter] for letter in outer]) for each in at),
        samples=none if planar else within,
        separate=within if planar else none,
        warnings=middle_and_first(lengths),
    )


def middle_and_first(lengths: Mapping[str, int]) -> tuple[str, ...]:
    """Say which z plane and time point are shown, where there are several."""
    depth, times = lengths.get("Z", 1), lengths.get("T", 1)
    said = (
        (depth, f"{depth} z planes; plane {depth // 2}, the middle one, is shown"),
        (times, f"{times} time points; the first is shown"),
    )
    return tuple(text for count, text in said if count > 1)


def pages_of(series: Any, stack: Stack) -> list[Any]:
    """The page of each channel with all its tags; none where pages are not written one by one."""
    if len(series) <= max(stack.pages):
        return []
    return [series[index].aspage() for index in stack.pages if series[index] is not None]


def _channel_axis(lengths: dict[str, int]) -> str:
    several = [axis for axis in CHANNEL_AXES if lengths.get(axis, 1) > 1]
    if len(several) > 1:
        raise SlideError(f"both {several[0]} and {several[1]} could be its channels")
    return several[0] if several else "C"


def _refuse_others(lengths: dict[str, int], known: set[str]) -> None:
    for axis, length in lengths.items():
        if axis not in known and length > 1:
            raise SlideError(f"{length} planes along an axis {axis}, which no slide has")


def _ravelled(place: Sequence[int], lengths: Sequence[int]) -> int:
    return int(np.ravel_multi_index(tuple(place), tuple(lengths))) if lengths else 0
