"""Where tissue shines: methods for multiplex slides, and the channel a person is shown."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_tools.channels import is_nuclear
from wsi_tools.tissue.options import TissueOptions
from wsi_tools.tissue.thresholds import Foreground

if TYPE_CHECKING:
    from wsi_tools.slide import SlideInfo

__all__ = ["any_marker", "brightest", "grey", "nuclear", "nuclear_channel"]

Planes = NDArray[np.floating]
Plane = NDArray[np.float64]

HISTOGRAM_BINS = 256  # of Otsu's method, as in scikit-image
WHITE_PERCENTILE = 99.5  # of what shines; a few hot pixels must not darken the picture


def nuclear_channel(info: "SlideInfo", names: tuple[str, ...] = ()) -> int | None:
    """The place of the nuclear channel in `info.channels`; None where there is none.

    Of several, such as one for each cycle, the first by name is taken, wherever it lies.

    Args:
        info: a multiplex slide.
        names: those it may have, without regard to case; empty takes the well-known ones.
    """
    wanted = {name.strip().casefold() for name in names}
    found = [
        (channel.name.strip().casefold(), place)
        for place, channel in enumerate(info.channels)
        if (channel.name.strip().casefold() in wanted if names else is_nuclear(channel.name))
    ]
    return min(found)[1] if found else None


def nuclear(picture: Planes, options: TissueOptions) -> Foreground:
    """Threshold the square root of the nuclear channel by Otsu's method.

    The square root makes the shot noise of bright and dim nuclei alike, and the mask does not
    change with the gain.

    Args:
        picture: (h, w, 1) means, the nuclear channel alone.
        options: nothing of them is used.
    """
    plane = _finite(picture[..., 0])
    root = np.sqrt(np.maximum(plane, 0))
    threshold = _otsu(root)
    return Foreground(root > threshold, {"threshold": threshold**2})


def any_marker(picture: Planes, options: TissueOptions) -> Foreground:
    """Threshold every channel by Otsu's method over what is not 0 in it; any will do.

    The rule of Fluoroformer (arXiv 2411.08975): what is exactly 0 in any channel is background
    whatever the others show, for some cycle of staining has not reached it.

    Args:
        picture: (h, w, C) means that are not rounded.
        options: `hard_background` is used.
    """
    foreground = np.zeros(picture.shape[:2], bool)
    hard = np.zeros(picture.shape[:2], bool)
    thresholds = []
    for index in range(picture.shape[-1]):
        plane = _finite(picture[..., index])
        thresholds.append(_otsu(plane[plane != 0]))
        foreground |= plane > thresholds[-1]
        hard |= plane == 0
    kept = foreground & ~hard if options.hard_background else foreground
    return Foreground(kept, {"thresholds": thresholds, "hard_background": float(hard.mean())})


def _finite(plane: Planes) -> Plane:
    """In double precision, 0 where a float file has no number."""
    return np.nan_to_num(plane.astype(np.float64), posinf=0.0, neginf=0.0)


def _otsu(values: Plane) -> float:
    """Otsu's threshold; of values that are all the same, that value: nothing is above it."""
    from skimage.filters import threshold_otsu  # slow to import, seldom asked for

    return float(threshold_otsu(values, HISTOGRAM_BINS)) if values.size else 0.0


def brightest(picture: Planes) -> int:
    """The channel of the largest mean."""
    return int(
        np.argmax([_finite(picture[..., index]).mean() for index in range(picture.shape[-1])])
    )


def grey(plane: Planes) -> NDArray[np.uint8]:
    """Show a plane (h, w) as uint8 (h, w, 3), 0 black and nearly its largest value white."""
    values = np.maximum(_finite(plane), 0)
    shining = values[values > 0]
    white = np.percentile(shining, WHITE_PERCENTILE) if shining.size else 1.0
    level = np.rint(np.minimum(values / white, 1) * 255).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=-1)  # (h, w, 3)
