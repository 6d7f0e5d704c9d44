"""Plain pictures of one level: PNG, JPEG and BMP through Pillow, strip TIFF through tifffile.

The picture is decoded once, whole, when it is opened: at most 100 million pixels (300 MB), judged
by the size the file declares before anything is decoded. Handles of one file share it. Orientation
tags are not applied: coordinates are those of the pixels as stored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin
from PIL.ImageFile import ImageFile

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Layout, Resolution
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.resolution import from_per_unit
from wsi_tools.slide.tiff import DECODING_FAILURES, Survey, refuse_unless_brightfield, survey

__all__ = ["ImageReader"]

Pixels = NDArray[np.uint8]

# The plug-ins by name, not Image.open: its own size check warns through global state.
PLUGINS: Mapping[str, type[ImageFile]] = {
    ".bmp": BmpImagePlugin.BmpImageFile,
    ".jpeg": JpegImagePlugin.JpegImageFile,
    ".jpg": JpegImagePlugin.JpegImageFile,
    ".png": PngImagePlugin.PngImageFile,
}
TIFF_SUFFIXES = (".tif", ".tiff")
COLOUR_MODES = ("RGB", "RGBA", "P")


class ImageReader:
    """One decoded picture."""

    failures: ClassVar[tuple[type[Exception], ...]] = DECODING_FAILURES

    def __init__(self, path: Path) -> None:
        suffix = path.suffix.lower()
        if suffix in TIFF_SUFFIXES:
            self.facts, self._pixels = _from_tiff(path)
        elif suffix in PLUGINS:
            self.facts, self._pixels = _from_picture(path, PLUGINS[suffix])
        else:
            known = " ".join(sorted((*PLUGINS, *TIFF_SUFFIXES)))
            raise SlideError(f"{suffix or 'no suffix'} is not one of {known}")

    def read(self, x: int, y: int, width: int, height: int, level: int) -> Pixels:
        """Cut a rectangle inside the picture: uint8 (height, width, 3 or 4), a view."""
        del level  # there is one
        return self._pixels[y : y + height, x : x + width]

    def reopen(self) -> "ImageReader":
        """Share the decoded picture, which nobody writes to."""
        return self

    def close(self) -> None:
        """Leave the picture to whoever still holds it."""


def _from_tiff(path: Path) -> tuple[Facts, Pixels]:
    tiff = survey(path)
    refuse_unless_brightfield(tiff)
    _refuse_pyramid(tiff)
    _refuse_size(tiff.sizes[0])
    facts = Facts("tiff", tiff.sizes[:1], tiff.layout, tiff.resolutions)
    return facts, _frozen(tifffile.imread(path, series=tiff.series))


def _refuse_pyramid(tiff: Survey) -> None:
    if tiff.layout.tile_px or tiff.is_ndpi or tiff.composed or len(tiff.sizes) > 1:
        raise SlideError("a tiled, pyramidal or composed TIFF is no plain picture")
    if tiff.axes != "YXS" or tiff.shape[2] != 3:
        raise SlideError(f"stored as {tiff.axes} with shape {tiff.shape}")


def _from_picture(path: Path, plugin: type[ImageFile]) -> tuple[Facts, Pixels]:
    with path.open("rb") as stream, plugin(stream) as picture:
        _refuse_size(picture.size)
        if picture.mode not in COLOUR_MODES:
            raise SlideError(f"its pixels are of mode {picture.mode}; brightfield is RGB")
        layout = Layout(None, str(picture.format).lower())
        facts = Facts("image", (picture.size,), layout, _dpi(picture.info))
        return facts, _frozen(np.asarray(_in_colour(picture)))


def _in_colour(picture: ImageFile) -> Any:
    if picture.mode != "P":
        return picture
    return picture.convert("RGBA" if "transparency" in picture.info else "RGB")


def _dpi(details: Mapping[Any, Any]) -> tuple[Resolution, ...]:
    x, y = details.get("dpi", (0, 0))
    return from_per_unit("image.dpi", float(x), float(y), "inch")


def _refuse_size(size: tuple[int, int]) -> None:
    refuse_oversized(size)
    refuse_piece(size, "picture")


def _frozen(pixels: Pixels) -> Pixels:
    pixels.flags.writeable = False
    return pixels
