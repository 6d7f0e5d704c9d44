"""Brightfield TIFF, tile by tile from the file: each tile is decoded once while its row lasts.

A tile of a slide is a picture by itself, so a rectangle costs no more than the tiles it meets; what
a general reader does beside that costs several times the decoding. Level 0 is OpenSlide's to the
bit, and lower levels are the file's own pixels, never interpolated. What must be joined or placed
first (Ventana, Leica, Trestle) and what is stored in strips is left to the other readers.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.pieces import PieceCache, read_colours
from wsi_tools.slide.reader import Facts
from wsi_tools.slide.tiff import DECODING_FAILURES, surveyed
from wsi_tools.slide.tiff_planes import colour_plane
from wsi_tools.slide.tiffslide import TiffSlideReader

__all__ = ["TiffReader"]

CACHE_BYTES = 96 * 1024**2  # three rows of 240 px tiles of a scan 44,000 px wide
CODECS = ("NONE", "LZW", "DEFLATE", "ADOBE_DEFLATE", "JPEG", "WEBP", "APERIO_JP2000_RGB")


class TiffReader:
    """A tiled brightfield TIFF; handles made from one another share the decoded tiles."""

    failures: ClassVar[tuple[type[Exception], ...]] = DECODING_FAILURES

    def __init__(
        self, path: Path, facts: Facts | None = None, cache: PieceCache | None = None
    ) -> None:
        self._path = path
        self._cache = cache or PieceCache(CACHE_BYTES)
        self.facts = facts or _facts(path)
        self._tiff = tifffile.TiffFile(path)
        try:
            series = self._tiff.series[surveyed(self._tiff).series]
            _refuse_codec(series.keyframe)
            self._levels = [colour_plane(level) for level in series.levels]
        except DECODING_FAILURES:
            self._tiff.close()
            raise

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Decode a rectangle inside the level: uint8 (height, width, 3)."""
        return read_colours(self._levels[level], (x, y, width, height), self._cache)

    def reopen(self) -> "TiffReader":
        """Open the file once more."""
        return TiffReader(self._path, self.facts, self._cache)

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


def _facts(path: Path) -> Facts:
    """What TiffSlide learns from the vendor's words; it refuses tiles that must be joined."""
    described = TiffSlideReader(path)
    described.close()
    return described.facts


def _refuse_codec(page: Any) -> None:
    codec = getattr(page.compression, "name", str(page.compression))
    as_colours = codec == "JPEG" or page.photometric == tifffile.PHOTOMETRIC.RGB
    if codec not in CODECS or not as_colours:
        raise SlideError(f"tiles compressed by {codec}, of which only OpenSlide knows the colours")
