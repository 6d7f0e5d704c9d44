"""Heat as pyramidal OME-TIFF: the numbers themselves, or the colours over the slide."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_tools.heatmap.frame import Frame

__all__ = ["colours_tiff", "numbers_tiff"]

Planes = NDArray[np.float32]
Picture = NDArray[np.uint8]

TILE_PX = 256
LEAST_PX = 512  # a level of this size is the last
UM_PER_CM = 10_000


def numbers_tiff(planes: Planes, names: Sequence[str], frame: Frame) -> bytes:
    """Scores as float32 planes ``(scores, h, w)``, NaN where no tile lies; a channel per score.

    A level's pixel is one of the four above it: a mean would blur the tiles and eat their edges.
    """
    levels = [planes]
    while max(levels[-1].shape[1:]) > LEAST_PX:
        levels.append(levels[-1][:, ::2, ::2])
    return _written(levels, frame, {"axes": "CYX", "Channel": {"Name": list(names)}})


def colours_tiff(picture: Picture, frame: Frame) -> bytes:
    """A picture uint8 (h, w, 3), which OpenSlide and TiffSlide open too."""
    levels = [picture]
    while max(levels[-1].shape[:2]) > LEAST_PX:
        height, width = (max(1, side // 2) for side in levels[-1].shape[:2])
        half = cv2.resize(levels[-1], (width, height), interpolation=cv2.INTER_AREA)
        levels.append(half)
    return _written(levels, frame, {"axes": "YXS"})


def _written(
    levels: Sequence[NDArray[np.generic]], frame: Frame, metadata: dict[str, object]
) -> bytes:
    """The file: the first level, and the others in its SubIFDs, as OME has it."""
    um = frame.scale[0] * frame.mpp[0], frame.scale[1] * frame.mpp[1]
    physical = {
        "PhysicalSizeX": um[0],
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": um[1],
        "PhysicalSizeYUnit": "µm",
    }
    options: dict[str, object] = {
        "tile": (TILE_PX, TILE_PX),
        "compression": "adobe_deflate",
        "photometric": "rgb" if metadata["axes"] == "YXS" else "minisblack",
        "resolutionunit": "CENTIMETER",
    }
    first, *others = levels
    content = io.BytesIO()
    with tifffile.TiffWriter(content, ome=True) as file:
        file.write(
            first,
            subifds=len(others),
            metadata=metadata | physical,
            resolution=(UM_PER_CM / um[0], UM_PER_CM / um[1]),
            **options,
        )
        for number, level in enumerate(others, start=1):
            scale = UM_PER_CM / 2**number
            resolution = scale / um[0], scale / um[1]
            file.write(level, subfiletype=1, resolution=resolution, **options)
    return content.getvalue()
