"""From scores to colours: percentiles of a slide's tiles or the numbers themselves, on a ramp."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import InputError

__all__ = [
    "COLOURS",
    "DIFFERENCE",
    "SCALINGS",
    "Scaled",
    "coloured",
    "percentiles",
    "ramp",
    "scaled",
]

Values = NDArray[np.float32]
Picture = NDArray[np.uint8]

# Perceptually uniform all: equal steps of a number look equally large, in grey too.
COLOURS = ("viridis", "plasma", "inferno", "magma", "cividis")
SCALINGS = ("percentile", "raw")
DIFFERENCE = "difference"
"""The ramp of what-ifs, whose middle is no change."""

LESS, SAME, MORE = (33, 102, 172), (247, 247, 247), (178, 24, 43)


@dataclass(frozen=True, eq=False)
class Scaled:
    """Scores as they are shown.

    Attributes:
        values: ``(N,)`` float32, NaN where a tile was left out.
        lowest: what the ramp begins with.
        highest: what it ends with.
        kind: ``percentile``, ``raw`` or ``difference``.
    """

    values: Values
    lowest: float
    highest: float
    kind: str


def scaled(values: Values, kind: str = "percentile") -> Scaled:
    """Scores ``(N,)`` as percentiles of the slide's tiles, or as they are, from least to largest.

    Raises:
        InputError: another kind.
    """
    if kind not in SCALINGS:
        raise InputError(f"--scaling {kind}: choose from {', '.join(SCALINGS)}")
    if kind == "percentile":
        return Scaled(percentiles(values), 0.0, 100.0, kind)
    known = values[np.isfinite(values)]
    lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return Scaled(values, lowest, highest, kind)


def percentiles(values: Values) -> Values:
    """The share of the slide's tiles with less, half of those with as much, in per cent.

    A slide whose tiles are all alike is at 50 throughout; tiles that were left out stay NaN.
    """
    shown = np.full(values.shape, np.nan, np.float32)
    known = np.isfinite(values)
    _, place, count = np.unique(values[known], return_inverse=True, return_counts=True)
    below = np.cumsum(count) - count
    shown[known] = (100 * (below + count / 2) / max(1, known.sum()))[place]
    return shown


def coloured(values: Values, scale: Scaled, colours: str) -> Picture:
    """Colours uint8 (..., 3) of numbers on the scale; what is no number is black."""
    span = scale.highest - scale.lowest
    known = np.isfinite(values)
    part = (values[known] - scale.lowest) / span if span > 0 else 0.5
    levels = np.zeros(values.shape, np.uint8)
    levels[known] = np.rint(np.clip(part, 0, 1) * 255)
    found = np.asarray(ramp(colours)[levels])
    found[~known] = 0
    return found


def ramp(colours: str) -> Picture:
    """The 256 colours of a ramp, uint8 (256, 3), red first.

    Raises:
        InputError: there is no such ramp.
    """
    if colours == DIFFERENCE:
        return _difference()
    if colours not in COLOURS:
        raise InputError(f"--colours {colours}: choose from {', '.join(COLOURS)}")
    levels = np.arange(256, dtype=np.uint8)[:, None]
    blue_first = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{colours.upper()}"))
    return np.ascontiguousarray(blue_first[:, 0, ::-1])


def _difference() -> Picture:
    """Blue for less, paper for no change, red for more: straight lines in CIELAB."""
    ends = np.array([[LESS, SAME, MORE]], np.float32) / 255
    lab = cv2.cvtColor(ends, cv2.COLOR_RGB2LAB)[0]  # (3 colours, L a b)
    places = np.linspace(-1, 1, 256)
    between = [np.interp(places, (-1, 0, 1), axis) for axis in lab.T]
    line = np.stack(between, axis=1).astype(np.float32)[None]
    colours = np.clip(cv2.cvtColor(line, cv2.COLOR_LAB2RGB)[0], 0, 1)
    return np.asarray(np.rint(colours * 255), np.uint8)
