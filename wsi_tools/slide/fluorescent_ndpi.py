"""Hamamatsu's fluorescence scans: one marker per file, its brightness coded as shades of a colour.

The scanner multiplies the brightness, eight bits of it, with the pure colour it chose for the
marker, and stores that as any NDPI. The largest of red, green and blue is the brightness again, to
within what JPEG changed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Channel
from wsi_tools.slide.openslide import OpenSlideReader
from wsi_tools.slide.tiff import Survey

__all__ = ["FluorescentNdpiReader"]

MARKER_NAME = 65434  # NDPI tag: the filter set, such as "DAPI 2 (387)"
WARNING = "brightness read back from JPEG-coded colour: 8 bits, and not to the last of them"


class FluorescentNdpiReader(OpenSlideReader):
    """One marker, read through OpenSlide."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        marker = Channel(0, _name(path), "uint8")
        self.facts = replace(self.facts, channels=(marker,), multiplex=True, warnings=(WARNING,))

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Decode a rectangle inside the level: uint8 (height, width, 1)."""
        colours = super().read(x, y, width, height, level)[..., :3]
        brightness: NDArray[np.uint8] = colours.max(axis=2, keepdims=True)
        return brightness

    def only(self, channels: Sequence[int]) -> "FluorescentNdpiReader":
        """Open the file once more: there is one channel to choose."""
        if tuple(channels) != (0,):
            raise SlideError("has one channel, which can be shown once")
        return self.reopen()

    def reopen(self) -> "FluorescentNdpiReader":
        """Open the file once more."""
        return FluorescentNdpiReader(self._path)

    def _refuse(self, tiff: Survey | None) -> None:
        if tiff is None or not tiff.fluorescence:
            raise SlideError("no Hamamatsu fluorescence scan; leave --reader at auto")


def _name(path: Path) -> str:
    with tifffile.TiffFile(path) as tiff:
        return str(tiff.pages.first.tags.valueof(MARKER_NAME, "")).strip() or "channel-0"
