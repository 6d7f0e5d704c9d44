"""JPEG tiles of a TIFF as pictures by themselves, decoded at full size or at a power of two less.

A tile lacks the tables it shares with all others, and may lack the word that its components are
red, green and blue already (Aperio). Both are put in front of it. What is decoded smaller is made
of the low frequencies of each block alone: near to the mean of its pixels (44 to 47 dB on tissue,
where a bicubic resize comes to 37 to 44), though not equal to it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import simplejpeg
import tifffile

from wsi_tools.slide.pieces import Piece

__all__ = ["SHRINKS", "JpegTiles", "jpeg_tiles"]

SHRINKS = (2, 4, 8)  # what a block of 8 × 8 divides into

JPEG = 7  # the TIFF compression; 6 is an older one with tables elsewhere
START, END = b"\xff\xd8", b"\xff\xd9"
# Adobe's marker, APP14, whose last byte is the transform: none (libjpeg, jdapimin.c)
AS_THEY_ARE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
APPLICATION = range(0xE0, 0xF0)  # second bytes of the markers that libjpeg reads colours from


@dataclass(frozen=True)
class JpegTiles:
    """How the tiles of one page are decoded.

    Attributes:
        head: what stands instead of a tile's start-of-image marker.
        is_marked: the head says what the colours are, so that a tile must not say it again.
        size_px: (width, height) of a tile.
        shrink: 1, 2, 4 or 8; tiles are decoded at so much less.
    """

    head: bytes
    is_marked: bool
    size_px: tuple[int, int]
    shrink: int = 1

    def shrunk(self, factor: int) -> "JpegTiles | None":
        """The same decoded at so many times less; None where blocks or sides do not divide."""
        divides = factor in SHRINKS and not any(side % factor for side in self.size_px)
        return replace(self, shrink=factor) if divides and self.shrink == 1 else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a decoded tile: (height, width, 3)."""
        width, height = self.size_px
        return height // self.shrink, width // self.shrink, 3

    def decoded(self, tile: bytes) -> Piece | None:
        """Red, green and blue (height, width, 3); None where the tile is not as its page says."""
        if tile[:2] != START or (self.is_marked and tile[3] in APPLICATION):
            return None
        whole = tile if self.head == START else self.head + tile[2:]
        height, width, _ = self.shape if self.shrink > 1 else (0, 0, 3)  # 0 is as large as it is
        try:
            found: Piece = simplejpeg.decode_jpeg(
                whole,
                min_height=height,
                min_width=width,
                min_factor=self.shrink,
                buffer=np.empty(self.shape, np.uint8),
            )
        except ValueError:
            return None
        return found if found.shape == self.shape else None


def jpeg_tiles(page: Any) -> JpegTiles | None:
    """How the JPEG tiles of a page of tifffile's are decoded here; None if they are not."""
    kept = page.keyframe
    colours = tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR
    is_plain = kept.samplesperpixel == 3 and kept.bitspersample == 8 and kept.jpegheader is None
    if kept.compression != JPEG or kept.photometric not in colours or not is_plain:
        return None
    tables = page.jpegtables or START + END
    if tables[:2] != START or tables[-2:] != END:
        return None
    is_marked = kept.photometric == tifffile.PHOTOMETRIC.RGB and not kept.is_jfif
    head = START + (AS_THEY_ARE if is_marked else b"") + tables[2:-2]
    return JpegTiles(head, is_marked, (kept.tilewidth, kept.tilelength))
