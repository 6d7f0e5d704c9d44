"""A slide of seven fluorescent channels: OME-TIFF, 16 bits, 512-px tiles, predictor and zlib."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from speed.texture import tissue

__all__ = ["CHANNELS", "write_multiplex"]

CHANNELS = ("DAPI", "CD3", "CD8", "CD20", "CD68", "PanCK", "Ki67")
TILE_PX = 512
DISTINCT = 6  # tiles per channel
GAIN, DARK = 40, 60  # counts per grey level, and counts where there is no light
MPP = 0.5


def write_multiplex(
    path: Path, side_px: int, rng: np.random.Generator, source: Path | None
) -> None:
    """Write a square slide, each distinct tile of a channel compressed once."""
    side = -(-side_px // TILE_PX)
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        tiff.write(
            _streams(side * side, rng, source),
            shape=(len(CHANNELS), side_px, side_px),
            dtype=np.uint16,
            tile=(TILE_PX, TILE_PX),
            photometric="minisblack",
            compression="zlib",
            predictor=True,
            metadata={
                "axes": "CYX",
                "Channel": {"Name": list(CHANNELS)},
                "PhysicalSizeX": MPP,
                "PhysicalSizeY": MPP,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeYUnit": "µm",
            },
        )


def _streams(tiles: int, rng: np.random.Generator, source: Path | None) -> Iterator[bytes]:
    """Every channel's tiles, compressed, one channel after the other."""
    pictures = tissue(min(DISTINCT, tiles), TILE_PX, rng, source)
    for channel in range(len(CHANNELS)):
        drawn = [_compressed(_counts(picture, channel, rng)) for picture in pictures]
        yield from (drawn[place] for place in rng.integers(0, len(drawn), tiles))


def _counts(
    picture: NDArray[np.uint8], channel: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """What a camera counts (px, px): the dark of a picture as light, with its shot noise."""
    light = (255 - cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) * GAIN * (0.4 + 0.1 * channel)
    return np.clip(rng.poisson(light + DARK), 0, 65_535).astype(np.uint16)


def _compressed(counts: NDArray[np.uint16]) -> bytes:
    """As tifffile would: TIFF's horizontal predictor, then zlib."""
    differences = imagecodecs.delta_encode(counts, axis=-1)
    encoded: bytes = imagecodecs.zlib_encode(differences, level=6)
    return encoded
