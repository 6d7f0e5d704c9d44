"""The heat over the slide: one picture without any lettering, which lies on the thumbnail."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import UnavailableError
from wsi_tools.heatmap.field import HeatField
from wsi_tools.heatmap.scale import Scaled, coloured

__all__ = ["overlay", "png"]

Picture = NDArray[np.uint8]

GREY = 0.6  # of the tissue's own colour is taken away under the heat: stain is no part of the ramp


def overlay(
    background: Picture,
    field: HeatField,
    scale: Scaled,
    *,
    colours: str = "viridis",
    opacity: float = 0.6,
) -> Picture:
    """Lay the heat over a picture of the same frame; uint8 (h, w, 3).

    Pixels without a tile keep the background's colour. At a tile's edge, heat and background mix by
    the share of the pixel that the tile covers.

    Args:
        background: uint8 (h, w, 3).
        field: the heat.
        scale: of the field's values.
        colours: a ramp.
        opacity: of the heat, 0 to 1.
    """
    grey = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY)
    under = cv2.addWeighted(background, 1 - GREY, cv2.merge([grey] * 3), GREY, 0)
    heat = coloured(field.values, scale, colours)
    laid: Picture = cv2.addWeighted(under, 1 - opacity, heat, opacity, 0)
    np.copyto(laid, background, where=(field.cover == 0)[..., None])
    partly = (field.cover > 0) & (field.cover < 1)
    share = field.cover[partly, None]
    beside = background[partly].astype(np.float32)  # (n, 3)
    laid[partly] = np.rint(beside + share * (laid[partly] - beside)).astype(np.uint8)
    return laid


def png(picture: Picture) -> bytes:
    """The picture as a PNG file, uint8 (h, w, 3) red first.

    Raises:
        UnavailableError: OpenCV was built without PNG.
    """
    done, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise UnavailableError("OpenCV cannot write PNG here; install opencv-python-headless")
    return bytes(content)
