"""What a TIFF's tags say, whichever reader will decode it: shape, storage, resolution.

OpenSlide shows the first channel of a multi-channel TIFF as if it were brightfield, so no reader
opens a TIFF before its shape has been looked at here.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Layout, Resolution
from wsi_tools.slide.resolution import from_per_unit, from_text

__all__ = ["DECODING_FAILURES", "Survey", "refuse_unless_brightfield", "survey", "survey_if_tiff"]

# A hostile file reaches each of these somewhere inside tifffile or a codec; SlideError is among
# them as a ValueError.
DECODING_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
EMISSION_WAVELENGTH = 65451  # NDPI tag; zero or absent in brightfield
TRESTLE_SOFTWARE = "MedScan"


@dataclass(frozen=True)
class Survey:
    """The largest picture of a TIFF.

    Attributes:
        series: its index among tifffile's series.
        axes: tifffile's letters, such as "YXS" for brightfield and "CYX" for planes.
        shape: one length per axis.
        dtype: as numpy writes it.
        sizes: (width, height) per level.
        layout: how level 0 is stored.
        piece_px: (width, height) of the largest tile or strip that is decoded whole.
        resolutions: what OME-XML and the resolution tags state.
        is_ome: the description is OME-XML.
        is_ndpi: strips with restart markers, which look like one piece and are not.
        composed: tiles overlap (Ventana, Trestle) or regions lie on a wider canvas (Leica), so
            that the tiles as stored are not the slide.
        fluorescence: light was emitted, not absorbed, whatever the colours pretend.
    """

    series: int
    axes: str
    shape: tuple[int, ...]
    dtype: str
    sizes: tuple[tuple[int, int], ...]
    layout: Layout
    piece_px: tuple[int, int]
    resolutions: tuple[Resolution, ...]
    is_ome: bool
    is_ndpi: bool
    composed: bool
    fluorescence: bool


def survey_if_tiff(path: Path) -> Survey | None:
    """Survey the file; None where it is no TIFF that can be parsed."""
    try:
        return survey(path)
    except DECODING_FAILURES:
        return None


def survey(path: Path) -> Survey:
    """Survey the file.

    Raises:
        SlideError: it holds no picture; tifffile says nothing of a truncated file.
        tifffile.TiffFileError: it is no TIFF.
    """
    with tifffile.TiffFile(path) as tiff:
        index = _largest(tiff)
        return _described(tiff, index, tiff.series[index])


def refuse_unless_brightfield(seen: Survey) -> None:
    """Raise unless the picture is one red-green-blue plane of bytes made by transmitted light.

    Raises:
        SlideError: with what it is instead.
    """
    if seen.fluorescence:
        raise SlideError("a fluorescence scan coded as dark colours; this reads brightfield")
    spare = "".join(axis for axis, n in zip(seen.axes, seen.shape, strict=True) if n > 1)
    if spare.translate(str.maketrans("", "", "YXS")):
        planes = seen.shape[0]
        raise SlideError(
            f"multi-channel ({planes} planes, {seen.axes} {seen.dtype}); this reads brightfield"
        )
    _refuse_colourless(seen)


def _refuse_colourless(seen: Survey) -> None:
    samples = dict(zip(seen.axes, seen.shape, strict=True)).get("S", 1)
    if seen.dtype != "uint8" or samples not in (3, 4):
        raise SlideError(
            f"{samples} sample(s) of {seen.dtype} per pixel; brightfield has three of uint8"
        )
    if seen.layout.compression.endswith("separated"):
        raise SlideError("inks instead of red, green and blue")


def _largest(tiff: Any) -> int:
    areas = [_area(series) for series in tiff.series]
    if not areas:
        raise SlideError("a TIFF without a picture in it; the file is cut short")
    return areas.index(max(areas))


def _area(series: Any) -> int:
    height, width = _sides(series)
    return height * width


def _sides(series: Any) -> tuple[int, int]:
    lengths = dict(zip(series.axes, series.shape, strict=True))
    return lengths.get("Y", 1), lengths.get("X", 1)


def _described(tiff: Any, index: int, series: Any) -> Survey:
    page = series.keyframe
    sizes = tuple(_sides(level)[::-1] for level in series.levels)
    return Survey(
        series=index,
        axes=series.axes,
        shape=tuple(series.shape),
        dtype=str(series.dtype),
        sizes=sizes,
        layout=_layout(page),
        piece_px=max(
            (_piece(level.keyframe) for level in series.levels), key=lambda p: p[0] * p[1]
        ),
        resolutions=(*_ome_resolution(tiff, sizes[0]), *_tag_resolution(page)),
        is_ome=bool(tiff.is_ome),
        is_ndpi=bool(tiff.is_ndpi),
        composed=_is_composed(tiff, page),
        fluorescence=bool(tiff.is_ndpi) and bool(page.tags.valueof(EMISSION_WAVELENGTH, 0)),
    )


def _is_composed(tiff: Any, page: Any) -> bool:
    is_trestle = str(page.software).startswith(TRESTLE_SOFTWARE)
    return bool(tiff.is_bif) or bool(tiff.is_scn) or is_trestle


def _layout(page: Any) -> Layout:
    tile_px = (page.tilewidth, page.tilelength) if page.is_tiled else None
    names = (getattr(each, "name", str(each)) for each in (page.compression, page.photometric))
    return Layout(tile_px, " ".join(names).lower())


def _piece(page: Any) -> tuple[int, int]:
    """(width, height) of what tifffile decodes at once."""
    return page.chunks[page.axes.index("X")], page.chunks[page.axes.index("Y")]


def _tag_resolution(page: Any) -> tuple[Resolution, ...]:
    unit = RESOLUTION_UNITS.get(
        int(page.tags.valueof("ResolutionUnit", 2))
    )  # inch is TIFF's default
    x, y = (_ratio(page.tags.valueof(f"{axis}Resolution", (0, 1))) for axis in "XY")
    return from_per_unit("tiff.resolution", x, y, unit) if unit else ()


def _ratio(value: tuple[int, int]) -> float:
    return value[0] / value[1] if value[1] else 0.0


def _ome_resolution(tiff: Any, size: tuple[int, int]) -> tuple[Resolution, ...]:
    if not tiff.is_ome:
        return ()
    for pixels in ElementTree.fromstring(tiff.ome_metadata).iterfind(".//{*}Pixels"):
        if (pixels.get("SizeX"), pixels.get("SizeY")) == (str(size[0]), str(size[1])):
            x, y = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY")
            return from_text("ome.PhysicalSize", x, y, pixels.get("PhysicalSizeXUnit", "µm"))
    return ()
