"""Brightfield TIFF through TiffSlide, with tifffile and imagecodecs beneath.

It knows codecs that OpenSlide does not (WebP) and sees pyramids that hang under OME-TIFF's first
picture. It takes tiles as they lie, so formats that must be joined first are left to OpenSlide.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from tiffslide import TiffSlide

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Resolution
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.resolution import from_text
from wsi_tools.slide.tiff import DECODING_FAILURES, Survey, refuse_unless_brightfield, survey

__all__ = ["TiffSlideReader", "refuse_unless_plain"]


class TiffSlideReader:
    """A TIFF open in TiffSlide; pixels come from its arrays, at whole positions of a level."""

    failures: ClassVar[tuple[type[Exception], ...]] = DECODING_FAILURES

    def __init__(self, path: Path) -> None:
        tiff = survey(path)
        refuse_unless_plain(tiff)
        self._path = path
        self._slide = TiffSlide(path)
        try:
            self._levels = [self._slide.zarr_group[str(level)] for level in range(len(tiff.sizes))]
            self.facts = _facts(self._slide, tiff)
        except DECODING_FAILURES:
            self._slide.close()
            raise

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Decode a rectangle inside the level: uint8 (height, width, 3)."""
        return np.asarray(self._levels[level][y : y + height, x : x + width])

    def reopen(self) -> "TiffSlideReader":
        """Open the file once more."""
        return TiffSlideReader(self._path)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def refuse_unless_plain(tiff: Survey) -> None:
    """Raise unless the tiles as they are stored are a brightfield picture.

    Raises:
        SlideError: with what must be done first, and who does it.
    """
    refuse_unless_brightfield(tiff)
    if tiff.is_ndpi:
        raise SlideError("TiffSlide knows NDPI in part only; OpenSlide reads it")
    if tiff.composed:
        raise SlideError("its tiles must be joined or placed first, which OpenSlide does")
    if tiff.axes != "YXS" or tiff.shape[2] != 3:
        raise SlideError(f"stored as {tiff.axes} with shape {tiff.shape}")
    refuse_oversized(tiff.sizes[0])
    refuse_piece(tiff.piece_px, "tile or strip")


def _facts(slide: TiffSlide, tiff: Survey) -> Facts:
    power = slide.properties.get("tiffslide.objective-power")
    return Facts(
        vendor=str(slide.properties.get("tiffslide.vendor") or "generic-tiff").lower(),
        sizes=tiff.sizes,
        layout=tiff.layout,
        resolutions=_resolutions(slide, tiff),
        objective_power=float(power) if power else None,
    )


def _resolutions(slide: TiffSlide, tiff: Survey) -> tuple[Resolution, ...]:
    x, y = (slide.properties.get(f"tiffslide.mpp-{axis}") for axis in "xy")
    vendor = slide.properties.get("aperio.MPP")
    return (
        *(each for each in tiff.resolutions if each.source.startswith("ome.")),
        *from_text("tiffslide.mpp-x", _text(x), _text(y)),
        *from_text("aperio.MPP", _text(vendor), None),
        *(each for each in tiff.resolutions if each.source.startswith("tiff.")),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
