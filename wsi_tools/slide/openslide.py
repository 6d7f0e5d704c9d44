"""Brightfield through OpenSlide: the scanners' own formats, joined and placed as they should be.

OpenSlide takes level-0 coordinates and interpolates where they fall between the pixels of a lower
level. A rectangle is asked for at the level-0 coordinate nearest to its first pixel: exact on level
0, from (0, 0), and wherever OpenSlide's own downsample is whole; off by at most half a level-0
pixel elsewhere. In a Leica file OpenSlide drops the fraction, counted from where the scan starts,
so there the coordinate is rounded away from that start, which is exact.
"""

from collections.abc import Mapping
from math import ceil, floor
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from openslide import OpenSlide, OpenSlideError

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Bounds, Layout, Resolution
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.resolution import from_per_unit, from_text
from wsi_tools.slide.tiff import Survey, refuse_unless_brightfield, understood

__all__ = ["OpenSlideReader"]


class OpenSlideReader:
    """A file open in OpenSlide, with the cache that OpenSlide gives each handle."""

    failures: ClassVar[tuple[type[Exception], ...]] = (SlideError, OpenSlideError, OSError)

    def __init__(self, path: Path) -> None:
        tiff = understood(path)
        self._refuse(tiff)
        self._path = path
        self._slide = OpenSlide(path)
        properties = self._slide.properties
        _refuse_claims(properties, self._slide.level_dimensions)
        self.facts = _facts(self._slide, properties, tiff)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Decode a rectangle inside the level: uint8 (height, width, 4), straight alpha."""
        origin = self._origin(x, 0, level), self._origin(y, 1, level)
        return np.asarray(self._slide.read_region(origin, level, (width, height)))

    def reopen(self) -> "OpenSlideReader":
        """Open the file once more; an OpenSlide handle that failed once stays in error for good."""
        return OpenSlideReader(self._path)

    def close(self) -> None:
        """Close the handle."""
        self._slide.close()

    def _refuse(self, tiff: Survey | None) -> None:
        if tiff is not None:
            refuse_unless_brightfield(tiff)

    def _origin(self, pixel: int, axis: int, level: int) -> int:
        """Level-0 coordinate at which OpenSlide finds this pixel of the level."""
        exact = pixel * self._slide.level_downsamples[level]
        bounds = self.facts.bounds
        if self.facts.vendor != "leica" or bounds is None:
            return round(exact)
        return floor(exact) if exact < (bounds.x, bounds.y)[axis] else ceil(exact)


def _facts(slide: OpenSlide, properties: Mapping[str, str], tiff: Survey | None) -> Facts:
    power = properties.get("openslide.objective-power")
    return Facts(
        vendor=properties["openslide.vendor"],
        sizes=slide.level_dimensions,
        layout=tiff.layout if tiff else Layout(_tile_px(properties, 0), "unknown"),
        resolutions=_resolutions(properties, tiff),
        bounds=_bounds(properties),
        objective_power=float(power) if power else None,
    )


def _resolutions(properties: Mapping[str, str], tiff: Survey | None) -> tuple[Resolution, ...]:
    """OME-XML before OpenSlide, which reads the tags of an OME-TIFF alone."""
    survey = tiff.resolutions if tiff else ()
    return (
        *(each for each in survey if each.source.startswith("ome.")),
        *from_text(
            "openslide.mpp-x",
            properties.get("openslide.mpp-x"),
            properties.get("openslide.mpp-y"),
        ),
        *from_text("aperio.MPP", properties.get("aperio.MPP"), None),
        *_tag_resolution(properties),
    )


def _tag_resolution(properties: Mapping[str, str]) -> tuple[Resolution, ...]:
    x, y = (float(properties.get(f"tiff.{axis}Resolution", 0)) for axis in "XY")
    return from_per_unit("tiff.resolution", x, y, properties.get("tiff.ResolutionUnit", "none"))


def _bounds(properties: Mapping[str, str]) -> Bounds | None:
    sides = [properties.get(f"openslide.bounds-{side}") for side in ("x", "y", "width", "height")]
    if None in sides:
        return None
    return Bounds(*(int(side) for side in sides if side is not None))


def _tile_px(properties: Mapping[str, str], level: int) -> tuple[int, int] | None:
    sides = [
        properties.get(f"openslide.level[{level}].tile-{side}") for side in ("width", "height")
    ]
    width, height = (int(side or 0) for side in sides)
    return (width, height) if width and height else None


def _refuse_claims(properties: Mapping[str, str], sizes: tuple[tuple[int, int], ...]) -> None:
    refuse_oversized(sizes[0])
    for level in range(len(sizes)):
        if tile_px := _tile_px(properties, level):
            refuse_piece(tile_px, "tile")
