"""Colour as absorbance: the colour of glass, optical density, and what cannot be stained tissue.

Hue, saturation and density of absorbance follow J. van der Laak, M. Pahlplatz, A. Hanselaar and
P. de Wilde, "Hue-saturation-density (HSD) model for stain recognition in digital images from
transmitted light microscopy", Cytometry 39 (2000) 275.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.options import StainColour

__all__ = ["Absorbance", "glass_colour", "is_foreign"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

GLASS_DARKEST = 190  # grey level; a scanner set darker than that clips nothing but looks wrong
GLASS_TINT = 30  # grey levels between the channels; old mounting media are this yellow
OPAQUE_DENSITY = 0.05  # 11 % of the light: paler colours are too close to glass to have a hue


@dataclass(frozen=True)
class Absorbance:
    """How much light each pixel takes away, compared with bare glass.

    Attributes:
        channels: float32 (h, w, 3) optical density, −log10(I / glass); 0 where brighter than glass.
        glass: (red, green, blue) of bare glass.
    """

    channels: NDArray[np.float32]
    glass: tuple[int, int, int]

    @classmethod
    def of(cls, picture: Pixels) -> "Absorbance":
        """Measure a picture, uint8 (h, w, 3), against its own glass."""
        glass = glass_colour(picture)
        levels = np.arange(256)
        tables = [-np.log10((np.minimum(levels, white) + 1) / (white + 1)) for white in glass]
        channels = np.empty(picture.shape, np.float32)
        for index, table in enumerate(tables):
            channels[..., index] = table.astype(np.float32)[picture[..., index]]
        return cls(channels, glass)

    @property
    def density(self) -> NDArray[np.float32]:
        """Mean optical density of the channels, (h, w)."""
        red, green, blue = (self.channels[..., index] for index in range(3))
        return (red + green + blue) / np.float32(3)


def glass_colour(picture: Pixels) -> tuple[int, int, int]:
    """Find the commonest bright, nearly grey colour, channel by channel; white if there is none."""
    red, green, blue = cv2.split(picture)
    darkest = cv2.min(cv2.min(red, green), blue)  # numpy is slow along an axis of three
    brightest = cv2.max(cv2.max(red, green), blue)
    glass = picture[(darkest >= GLASS_DARKEST) & (brightest - darkest <= GLASS_TINT)]  # (n, 3)
    if not len(glass):
        return 255, 255, 255
    return _mode(glass[:, 0]), _mode(glass[:, 1]), _mode(glass[:, 2])


def _mode(levels: NDArray[np.uint8]) -> int:
    return int(np.bincount(levels).argmax())


def is_foreign(absorbance: Absorbance, stain: StainColour) -> Mask:
    """Mark what is there but has not the stain's colour: ink, dust, edges; bool (h, w)."""
    density = absorbance.density
    foreign = density > OPAQUE_DENSITY
    foreign[foreign] = ~_has_colour(absorbance.channels[foreign], density[foreign], stain)
    return foreign


def _has_colour(
    channels: NDArray[np.float32], density: NDArray[np.float32], stain: StainColour
) -> Mask:
    red, green, blue = channels.T / density  # (n,) each
    along, across = red - 1, (green - blue) / np.sqrt(3)
    hue_deg = np.degrees(np.arctan2(across, along)) % 360
    saturation = np.hypot(along, across)
    lowest, highest = stain.hue_deg
    red_ink = (hue_deg > stain.red_hue_deg) & (density * saturation > stain.max_red_chroma)
    return np.asarray(
        (hue_deg >= lowest)
        & (hue_deg <= highest)
        & (saturation >= stain.min_saturation)
        & (density <= stain.max_density)
        & ~red_ink
    )
