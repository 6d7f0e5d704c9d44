"""Colour as absorbance: the colour of glass, optical density, and what cannot be stained tissue.

Hue, saturation and density of absorbance follow J. van der Laak, M. Pahlplatz, A. Hanselaar and
P. de Wilde, "Hue-saturation-density (HSD) model for stain recognition in digital images from
transmitted light microscopy", Cytometry 39 (2000) 275.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.bands import band_by_band
from wsi_tools.tissue.options import StainColour

__all__ = ["Absorbance", "asked_rows", "glass_colour", "judged"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]
Densities = NDArray[np.uint16]

GLASS_DARKEST = 190  # grey level; a scanner set darker than that clips nothing but looks wrong
GLASS_TINT = 30  # grey levels between the channels; old mounting media are this yellow
SAMPLE_PX = 250_000
TOUCHING = 1e-5  # saturation off a limit of hue that rounding may make
UNIT = 2**13  # of optical density; three channels without light have 59,000 of it
BLAS_COLUMNS = 2**13  # of a matrix of so few rows OpenBLAS gives more to threads of its own
OPAQUE_DENSITY = 0.05  # 11 % of the light: paler colours are too close to glass to have a hue


@dataclass(frozen=True, eq=False)
class Absorbance:
    """How much light each pixel takes away, compared with bare glass.

    Attributes:
        picture: uint8 (h, w, 3).
        glass: (red, green, blue) of bare glass.
    """

    picture: Pixels
    glass: tuple[int, int, int]

    @classmethod
    def of(cls, picture: Pixels) -> "Absorbance":
        """Measure a picture, uint8 (h, w, 3), against its own glass."""
        return cls(picture, glass_colour(picture))

    def glanced_at(self, step: int) -> "Absorbance":
        """The same of every so many pixels along each axis."""
        height, width = (-(-side // step) for side in self.picture.shape[:2])
        grid = cv2.resize(self.picture, (width, height), interpolation=cv2.INTER_NEAREST)
        return Absorbance(grid, self.glass)

    def channels(self, rows: slice) -> Densities:
        """Optical density of red, green and blue, −log10(I / glass); 0 where brighter than glass.

        Returns:
            uint16 (3, rows, w), of which `UNIT` is a density of 1; their sum is a uint16 too.
        """
        levels = _planes(self.picture[rows])
        densities = np.empty(levels.shape, np.uint16)
        for level, white, density in zip(levels, self.glass, densities, strict=True):
            cv2.LUT(level, _table(white), density)
        return densities

    def density(self, rows: slice) -> Plane:
        """Mean optical density of the channels; float32 (rows, w)."""
        return (_total(self.channels(rows)) / (3 * UNIT)).astype(np.float32)

    def denser(self, than: float) -> Mask:
        """Where mean density is above a threshold; bool (h, w)."""
        denser = np.empty(self.picture.shape[:2], bool)

        def compare(rows: slice) -> None:
            denser[rows] = _is_denser(self.channels(rows), than)

        band_by_band(denser.shape, compare)
        return denser


@cache
def _table(white: int) -> Densities:
    """The optical density of each of 256 levels where glass has the level `white`, in `UNIT`."""
    light = (np.minimum(np.arange(256), white) + 1) / (white + 1)
    return np.asarray(np.rint(-np.log10(light) * UNIT), np.uint16)


def _is_denser(channels: Densities, than: float) -> Mask:
    return np.asarray(_total(channels) > np.uint16(3 * UNIT * than))


def _total(channels: Densities) -> Densities:
    total: Densities = channels[0] + channels[1]
    total += channels[2]
    return total


def _planes(picture: Pixels) -> Pixels:
    """Part the colours of a picture, uint8 (h, w, 3), in memory of their own: (3, h, w)."""
    parted = np.empty((3, *picture.shape[:2]), np.uint8)
    cv2.split(picture, list(parted))  # into memory that is there, an eighth of the time
    return parted


def glass_colour(picture: Pixels) -> tuple[int, int, int]:
    """Find the commonest bright, nearly grey colour, channel by channel; white if there is none.

    Of a large picture a quarter of a million pixels are asked.
    """
    counts = _glass_levels(picture[asked_rows(picture)])
    if not counts.any():
        return 255, 255, 255
    red, green, blue = counts.argmax(axis=1).tolist()
    return red, green, blue


def asked_rows(picture: Pixels) -> slice:
    """Rows of a picture, spread over its height, that a quarter of a million pixels lie in."""
    step = max(1, picture.shape[0] * picture.shape[1] // SAMPLE_PX)
    return slice(None, None, step | 1)  # never a JPEG's 8


def _glass_levels(picture: Pixels) -> NDArray[np.int64]:
    """How often pixels that may be glass have each level, channel by channel; (3, 256)."""
    red, green, blue = levels = _planes(picture)
    darkest = cv2.min(cv2.min(red, green), blue)  # numpy is slow along an axis of three
    brightest = cv2.max(cv2.max(red, green), blue)
    glass = ((darkest >= GLASS_DARKEST) & (brightest - darkest <= GLASS_TINT)).view(np.uint8)
    counts = [cv2.calcHist([plane], [0], glass, [256], [0, 256]).ravel() for plane in levels]
    return np.stack(counts).astype(np.int64)


def judged(absorbance: Absorbance, stain: StainColour) -> tuple[Mask, Mask]:
    """Mark what is there, and what of that has not the stain's colour: ink, dust, edges.

    Returns:
        bool (h, w) each: opaque, and foreign.
    """
    opaque, foreign = (np.empty(absorbance.picture.shape[:2], bool) for _ in range(2))

    def judge(rows: slice) -> None:
        channels = absorbance.channels(rows)
        there = opaque[rows] = foreign[rows] = _is_denser(channels, OPAQUE_DENSITY)
        if there.any():
            of_those = np.array([channel[there] for channel in channels], np.float32)
            foreign[rows][there] = ~_has_colour(of_those, stain)

    band_by_band(opaque.shape, judge)
    return opaque, foreign


def _has_colour(channels: Plane, stain: StainColour) -> Mask:
    """Whether pixels have the colour of a stain, from their channels (3, n); bool (n,)."""
    along, across, past, short, red_past = _projected(channels, stain)
    density = channels.sum(axis=0) / np.float32(3 * UNIT)  # of whole numbers: alike everywhere
    chroma2 = along * along + across * across
    lowest, highest = stain.hue_deg
    stained = _between(past, short, highest - lowest) & (density <= stain.max_density)
    stained &= chroma2 >= np.square(np.float32(stain.min_saturation) * density)
    deep = chroma2 > stain.max_red_chroma**2
    if deep.any():
        stained &= ~(deep & _between(red_past, short, highest - stain.red_hue_deg))
    return np.asarray(stained)


def _projected(channels: Plane, stain: StainColour) -> Plane:
    """What `_projections` makes of channels (3, n), by this thread alone; (5, n)."""
    projections = _projections(stain)
    found = np.empty((len(projections), channels.shape[1]), np.float32)
    for first in range(0, channels.shape[1], BLAS_COLUMNS):
        some = slice(first, first + BLAS_COLUMNS)
        np.matmul(projections, channels[:, some], out=found[:, some])
    return found


@cache
def _projections(stain: StainColour) -> Plane:
    """What channels of absorbance are multiplied by; float32 (5, 3).

    The first two rows give hue and saturation as a vector that is not yet divided by density:
    (red ÷ density − 1, (green − blue) ÷ √3 ÷ density). The others are positive where the hue is up
    to half a turn past the lowest, the highest and the red hue, and negative where it is short of
    it; a limit belongs to what it bounds.
    """
    density = np.full(3, 1 / 3)
    along, across = np.eye(3)[0] - density, np.array([0, 1, -1]) / np.sqrt(3)
    past, short, red_past = (
        across * np.cos(hue) - along * np.sin(hue)
        for hue in np.radians([*stain.hue_deg, stain.red_hue_deg])
    )
    touching = TOUCHING * density
    limits = past + touching, short - touching, red_past + touching
    return (np.stack([along, across, *limits]) / UNIT).astype(np.float32)


def _between(past: Plane, short: Plane, span_deg: float) -> Mask:
    """Whether hues lie between two so far apart, from how they turn off each of them."""
    return np.asarray((past > 0) & (short < 0) if span_deg < 180 else (past > 0) | (short < 0))
