"""Colour as absorbance: the colour of glass, optical density, and what cannot be stained tissue.

Hue, saturation and density of absorbance follow J. van der Laak, M. Pahlplatz, A. Hanselaar and
P. de Wilde, "Hue-saturation-density (HSD) model for stain recognition in digital images from
transmitted light microscopy", Cytometry 39 (2000) 275.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.bands import band_by_band
from wsi_tools.tissue.options import StainColour

__all__ = ["Absorbance", "glass_colour", "is_foreign"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

GLASS_DARKEST = 190  # grey level; a scanner set darker than that clips nothing but looks wrong
GLASS_TINT = 30  # grey levels between the channels; old mounting media are this yellow
GLASS_SAMPLE_PX = 250_000
TOUCHING = np.float32(1e-5)  # saturation off a limit of hue that rounding may make
OPAQUE_DENSITY = 0.05  # 11 % of the light: paler colours are too close to glass to have a hue


@dataclass(frozen=True, eq=False)
class Absorbance:
    """How much light each pixel takes away, compared with bare glass.

    Attributes:
        picture: uint8 (h, w, 3).
        glass: (red, green, blue) of bare glass.
        density: float32 (h, w), mean optical density of the channels.
    """

    picture: Pixels
    glass: tuple[int, int, int]
    density: Plane

    @classmethod
    def of(cls, picture: Pixels) -> "Absorbance":
        """Measure a picture, uint8 (h, w, 3), against its own glass."""
        absorbance = cls(picture, glass_colour(picture), np.empty(picture.shape[:2], np.float32))
        band_by_band(picture.shape, absorbance._measure)
        return absorbance

    def channels(self, rows: slice) -> tuple[Plane, Plane, Plane]:
        """Optical density of red, green and blue, −log10(I / glass); 0 where brighter than glass.

        They are looked up, level by level, where they are asked for; each is float32 (rows, w).
        """
        levels = zip(cv2.split(self.picture[rows]), self._tables, strict=True)
        red, green, blue = (cv2.LUT(level, table) for level, table in levels)
        return red, green, blue

    @cached_property
    def _tables(self) -> tuple[Plane, ...]:
        levels = np.arange(256)
        densities = [
            -np.log10((np.minimum(levels, white) + 1) / (white + 1)) for white in self.glass
        ]
        return tuple(each.astype(np.float32) for each in densities)

    def _measure(self, rows: slice) -> None:
        red, green, blue = self.channels(rows)
        red += green
        red += blue
        np.divide(red, np.float32(3), out=self.density[rows])


def glass_colour(picture: Pixels) -> tuple[int, int, int]:
    """Find the commonest bright, nearly grey colour, channel by channel; white if there is none.

    Of a large picture only so many rows are asked that a quarter of a million pixels answer.
    """
    step = max(1, picture.shape[0] * picture.shape[1] // GLASS_SAMPLE_PX) | 1  # never a JPEG's 8
    counts = _glass_levels(picture[::step])
    if not counts.any():
        return 255, 255, 255
    red, green, blue = counts.argmax(axis=1).tolist()
    return red, green, blue


def _glass_levels(picture: Pixels) -> NDArray[np.int64]:
    """How often pixels that may be glass have each level, channel by channel; (3, 256)."""
    red, green, blue = planes = cv2.split(picture)
    darkest = cv2.min(cv2.min(red, green), blue)  # numpy is slow along an axis of three
    brightest = cv2.max(cv2.max(red, green), blue)
    glass = ((darkest >= GLASS_DARKEST) & (brightest - darkest <= GLASS_TINT)).view(np.uint8)
    counts = [cv2.calcHist([plane], [0], glass, [256], [0, 256]).ravel() for plane in planes]
    return np.stack(counts).astype(np.int64)


def is_foreign(absorbance: Absorbance, stain: StainColour) -> Mask:
    """Mark what is there but has not the stain's colour: ink, dust, edges; bool (h, w)."""
    foreign = absorbance.density > OPAQUE_DENSITY

    def acquit(rows: slice) -> None:
        if foreign[rows].any():
            foreign[rows] &= ~_has_colour(absorbance, rows, stain)

    band_by_band(foreign.shape, acquit)
    return np.asarray(foreign)


def _has_colour(absorbance: Absorbance, rows: slice, stain: StainColour) -> Mask:
    red, green, blue = absorbance.channels(rows)
    density = absorbance.density[rows]
    # hue and saturation are (red ÷ density − 1, (green − blue) ÷ √3 ÷ density): here, × density
    along, across = red - density, (green - blue) / np.float32(np.sqrt(3))
    chroma, touching = cv2.magnitude(along, across), TOUCHING * density
    lowest, highest = stain.hue_deg
    past, short, red_past = (
        _turn(along, across, hue) + side * touching  # a limit belongs to what it bounds
        for hue, side in ((lowest, 1), (highest, -1), (stain.red_hue_deg, 1))
    )
    is_red = _between(red_past, short, highest - stain.red_hue_deg)
    return np.asarray(
        _between(past, short, highest - lowest)
        & (chroma >= np.float32(stain.min_saturation) * density)
        & (density <= stain.max_density)
        & ~(is_red & (chroma > stain.max_red_chroma))
    )


def _between(past: Plane, short: Plane, span_deg: float) -> Mask:
    """Whether hues lie between two so far apart, from how they turn off each of them."""
    return np.asarray((past > 0) & (short < 0) if span_deg < 180 else (past > 0) | (short < 0))


def _turn(along: Plane, across: Plane, hue_deg: float) -> Plane:
    """Positive where the hue is up to half a turn past another, negative where short of it."""
    hue = np.radians(hue_deg)
    return across * np.float32(np.cos(hue)) - along * np.float32(np.sin(hue))
