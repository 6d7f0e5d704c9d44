"""Pictures small enough to lie in a page, as data URIs."""

import base64
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["data_uri", "shrunk"]

Picture = NDArray[np.uint8]

QUALITY = 78  # of WebP: at the size of a page no eye tells it from more


def data_uri(picture: Picture, quality: int = QUALITY) -> str:
    """A WebP of uint8 (h, w, 3), or (h, w, 4) with opacity, as a page holds it."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "webp", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def shrunk(picture: Picture, longest_px: int) -> Picture:
    """The picture with its longer side at most that many pixels; never larger than it was."""
    height, width = picture.shape[:2]
    share = min(1.0, longest_px / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    smaller: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return smaller
