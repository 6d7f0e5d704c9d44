"""Where there is something on the glass: one function for each method a user can name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.tissue.options import TissueOptions
from wsi_tools.tissue.stain import Absorbance, asked_rows

__all__ = ["Foreground", "entropy", "hsv", "otsu", "whole"]

Pixels = NDArray[np.uint8]

FAINTEST, DENSEST = 0.01, 1.0  # optical densities between which Otsu's histogram spans
SURELY_GLASS, SURELY_TISSUE = 0.02, 0.05  # densities that hold the threshold: 4 % and 11 % of light
CLAM_MEDIAN_PX = 7  # pixels of CLAM's median filter, at its working resolution
ENTROPY_RADIUS_PX = 5  # a window of 11 px holds 97 samples, enough to tell 6 bits from 3
NOISE_BITS = 3.0  # the entropy of a few grey levels of JPEG noise; below it nothing is texture


@dataclass(frozen=True)
class Foreground:
    """A method's answer.

    Attributes:
        mask: bool (h, w), True where there is tissue.
        measured: the numbers the method found, ready for JSON.
        final: nothing is closed, filled or dropped afterwards.
    """

    mask: NDArray[np.bool_]
    measured: Mapping[str, Any] = field(default_factory=dict)
    final: bool = False


def otsu(picture: Pixels, options: TissueOptions) -> Foreground:
    """Threshold mean optical density by Otsu's method, on a logarithmic scale.

    The logarithm gives a pale section the same weight as a dark one: glass, at a hundredth, is as
    far from pale tissue as pale tissue is from dense nuclei. A picture without glass, or without
    tissue, has no two classes to divide; the threshold then stays between what glass never reaches
    and what glass never exceeds. Of a large picture a quarter of a million pixels are asked.
    """
    absorbance = Absorbance.of(picture)
    found = _otsu_of_density(absorbance.density(asked_rows(picture)))
    threshold = min(max(found, SURELY_GLASS), SURELY_TISSUE)
    measured = {"glass": list(absorbance.glass), "otsu": found, "threshold": threshold}
    return Foreground(absorbance.denser(threshold), measured)


def _otsu_of_density(density: NDArray[np.float32]) -> float:
    decades = np.log10(DENSEST / FAINTEST)
    held = np.maximum(density, np.float32(FAINTEST))  # beyond DENSEST all is 255
    grey = cv2.convertScaleAbs(np.log10(held / np.float32(FAINTEST)), None, 255 / decades)
    return float(FAINTEST * 10 ** (_otsu(grey) / 255 * decades))


def _otsu(grey: NDArray[np.uint8]) -> float:
    level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float(level)


def hsv(picture: Pixels, options: TissueOptions) -> Foreground:
    """Threshold median-filtered saturation (M. Lu et al., Nat. Biomed. Eng. 5 (2021) 555)."""
    saturation = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1]
    smooth = cv2.medianBlur(saturation, CLAM_MEDIAN_PX)
    return Foreground(smooth > options.hsv_saturation, {"threshold": options.hsv_saturation})


def entropy(picture: Pixels, options: TissueOptions) -> Foreground:
    """Threshold the entropy of the grey levels around each pixel by Otsu's method."""
    from skimage.filters.rank import entropy as local_entropy  # slow to import, seldom asked for
    from skimage.morphology import disk

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    bits = local_entropy(grey, disk(ENTROPY_RADIUS_PX))  # (h, w), 0 to 8
    scaled = np.rint(bits / 8 * 255).astype(np.uint8)
    found = _otsu(scaled) / 255 * 8
    threshold = max(found, NOISE_BITS)
    return Foreground(bits > threshold, {"otsu": found, "threshold": threshold})


def whole(picture: Pixels, options: TissueOptions) -> Foreground:
    """Take everything for tissue."""
    return Foreground(np.ones(picture.shape[:2], bool), final=True)
