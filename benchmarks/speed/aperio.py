"""Tiled JPEG pyramids as Aperio writes them: quality 70, 4:2:0, levels of 1/4, 1/16 and 1/32."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile

from speed.mosaic import Mosaic
from speed.texture import Tiles

__all__ = ["JPEG", "compressed", "write_aperio"]

QUALITY = 70
OBJECTIVE_MPP = 10.0  # magnification × µm per pixel
JPEG: dict[str, Any] = {
    "photometric": "rgb",  # tifffile turns it into YCbCr, as its JPEG is
    "subsampling": (2, 2),
    "compression": "jpeg",
    "compressionargs": {"level": QUALITY},
    "metadata": None,
}


def compressed(tile: Tiles) -> bytes:
    """One tile (px, px, 3) as a JPEG stream of its own."""
    encoded: bytes = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(tile), level=QUALITY, subsampling="420"
    )
    return encoded


def write_aperio(path: Path, mosaic: Mosaic, mpp: float) -> None:
    """Write the mosaic with its pyramid; levels 1 to 3 are exact area means of level 0."""
    width, height = mosaic.size_px
    told = f"Aperio Image Library v11.2.1 \r\n{width}x{height}"
    about = f"JPEG/RGB Q={QUALITY}|AppMag = {OBJECTIVE_MPP / mpp:g}|MPP = {mpp}"
    sixteenth = mosaic.picture(16)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        _level(tiff, _finest(mosaic), (height, width), mosaic.px, f"{told} {about}")
        tiff.write(
            _thumbnail(sixteenth), rowsperstrip=16, description=f"{told} -> thumbnail", **JPEG
        )
        _level(tiff, _quarter(mosaic), (height // 4, width // 4), mosaic.px, told)
        for picture in (sixteenth, _halved(sixteenth)):
            tiff.write(picture, tile=(mosaic.px, mosaic.px), description=told, **JPEG)


def _level(
    tiff: tifffile.TiffWriter,
    tiles: Iterator[bytes],
    size: tuple[int, int],
    px: int,
    description: str,
) -> None:
    """Write a level (height, width) whose tiles are compressed already."""
    tiff.write(
        tiles, shape=(*size, 3), dtype=np.uint8, tile=(px, px), description=description, **JPEG
    )


def _finest(mosaic: Mosaic) -> Iterator[bytes]:
    streams = [compressed(tile) for tile in mosaic.tiles]
    return (streams[kind] for kind in mosaic.kinds.flat)


def _quarter(mosaic: Mosaic) -> Iterator[bytes]:
    small = mosaic.reduced(4)
    columns, rows = (-(-(side // 4) // mosaic.px) for side in mosaic.size_px)
    for row in range(rows):
        for column in range(columns):
            yield compressed(mosaic.tile_of_level(small, row, column))


def _halved(picture: Tiles) -> Tiles:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def _thumbnail(picture: Tiles) -> Tiles:
    height, width = picture.shape[:2]
    across = min(1024, width)
    return cv2.resize(
        picture, (across, max(1, height * across // width)), interpolation=cv2.INTER_AREA
    )
