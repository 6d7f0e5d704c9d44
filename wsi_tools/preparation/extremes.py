"""Channels that say nothing, or not enough: noticed while tiles are read."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Extremes"]

MUCH_SATURATED = 0.01  # of the pixels; a few hot ones are in every picture


class Extremes:
    """The least value but 0, the largest, and how often it is the dtype's, of every channel.

    0 is left out of the least: it is what lies beyond the slide's edge, too.

    Args:
        names: of the channels.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._guard = threading.Lock()
        self._low = np.full(len(names), np.inf)
        self._high = np.full(len(names), -np.inf)
        self._full = np.zeros(len(names))
        self._pixels = 0

    def note(self, pixels: NDArray[Any]) -> None:
        """Take a batch (B, h, w, C) into account; several threads may."""
        for place in range(len(self._names)):
            plane = pixels[..., place]
            there = plane[plane != 0]
            there = there[np.isfinite(there)] if there.dtype.kind == "f" else there
            if there.size:
                self._widen(place, float(there.min()), float(there.max()), _at_the_limit(there))
        with self._guard:
            self._pixels += pixels[..., 0].size

    def _widen(self, place: int, low: float, high: float, full: int) -> None:
        with self._guard:
            self._low[place] = min(self._low[place], low)
            self._high[place] = max(self._high[place], high)
            self._full[place] += full

    def warnings(self) -> tuple[str, ...]:
        """Name the channels and what is wrong with each; nothing if no tile was read."""
        if not self._pixels:
            return ()
        seen = zip(self._names, self._low, self._high, self._full / self._pixels, strict=True)
        return tuple(text for each in seen if (text := _remark(*each)))


def _at_the_limit(values: NDArray[Any]) -> int:
    """How many are the largest that their type can hold; no float is."""
    if values.dtype.kind != "u":
        return 0
    return int(np.count_nonzero(values == np.iinfo(values.dtype).max))


def _remark(name: str, low: float, high: float, full: float) -> str:
    if low > high:
        return f"{name} is empty: 0 in every tile"
    if low == high:
        return f"{name} is constant: {high:g} wherever it is not 0"
    if full > MUCH_SATURATED:
        return f"{name} is saturated: {full:.0%} of its pixels have the largest value"
    return ""
