"""What a TIFF's tags say, whichever reader will decode it: shape, storage, resolution.

OpenSlide shows the first channel of a multi-channel TIFF as if it were brightfield, so no reader
opens a TIFF before its shape has been looked at here.
"""

import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import tifffile

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Layout, Resolution
from wsi_tools.slide.ome_xml import described
from wsi_tools.slide.resolution import from_per_unit

__all__ = [
    "DECODING_FAILURES",
    "Survey",
    "is_multiplex",
    "largest_series",
    "ratio",
    "refuse_unless_brightfield",
    "survey",
    "survey_if_tiff",
    "surveyed",
    "understood",
]

# A hostile file reaches each of these somewhere inside tifffile or a codec; SlideError is among
# them as a ValueError.
DECODING_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
INCH = 2  # TIFF's default
RESOLUTION_UNITS = {INCH: "inch", 3: "centimeter"}
EMISSION_WAVELENGTH = 65451  # NDPI tag; zero or absent in brightfield
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TRESTLE_SOFTWARE = "MedScan"
GREY = ("minisblack", "miniswhite")
FLUORESCENT_COLOURS = (
    "a fluorescence scan coded as dark colours and no brightfield; read it with --reader auto or "
    "fluorescent-ndpi"
)


@dataclass(frozen=True)
class Survey:
    """The largest picture of a TIFF.

    Attributes:
        series: its index among tifffile's series.
        axes: tifffile's letters, such as "YXS" for brightfield and "CYX" for planes.
        shape: one length per axis.
        dtype: as numpy writes it.
        pictures: how many the file holds, this one among them.
        sizes: (width, height) per level.
        layout: how level 0 is stored.
        piece_px: (width, height) of the largest tile or strip that is decoded whole.
        resolutions: what OME-XML and the resolution tags state.
        is_ome: the description is OME-XML.
        is_qpi: written by a PerkinElmer or Akoya scanner (QPTIFF).
        is_ndpi: strips with restart markers, which look like one piece and are not.
        composed: tiles overlap (Ventana, Trestle) or regions lie on a wider canvas (Leica), so
            that the tiles as stored are not the slide.
        fluorescence: light was emitted, not absorbed, whatever the colours pretend.
    """

    series: int
    axes: str
    shape: tuple[int, ...]
    dtype: str
    pictures: int
    sizes: tuple[tuple[int, int], ...]
    layout: Layout
    piece_px: tuple[int, int]
    resolutions: tuple[Resolution, ...]
    is_ome: bool
    is_qpi: bool
    is_ndpi: bool
    composed: bool
    fluorescence: bool

    @property
    def samples(self) -> int:
        """How many values a pixel of one page has."""
        return dict(zip(self.axes, self.shape, strict=True)).get("S", 1)

    @property
    def is_one_grey_plane(self) -> bool:
        """Whether it may be a channel of a slide in several files, or a mask."""
        return self.planes == self.samples == 1 and not (self.is_ome or self.is_qpi)

    @property
    def planes(self) -> int:
        """How many pages the picture has."""
        sides = zip(self.axes, self.shape, strict=True)
        return prod(length for axis, length in sides if axis not in "YXS")


def understood(path: Path) -> Survey | None:
    """Survey the file; None where it does not even begin as a TIFF.

    Raises:
        SlideError: it is a TIFF that cannot be parsed, so nobody knows what it would show.
    """
    with path.open("rb") as stream:
        if stream.read(4) not in MAGIC:
            return None
    try:
        return survey(path)
    except DECODING_FAILURES as error:
        raise SlideError(f"its tags cannot be read ({error})") from error


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
        return surveyed(tiff)


def surveyed(tiff: Any) -> Survey:
    """Survey a file that tifffile has open; see `survey`."""
    index = largest_series(tiff)
    return _described(tiff, index, tiff.series[index])


def is_multiplex(seen: Survey) -> bool:
    """Whether each channel is a marker: several planes, or values that are no colours.

    One grey plane is a marker where a microscope's format holds it; elsewhere it may be a mask.
    Three or four bytes per pixel are colours, whatever the photometric tag says.
    """
    if seen.composed or seen.is_ndpi:
        return False
    if seen.planes > 1:
        return True
    if seen.samples == 1:
        return seen.is_ome or seen.is_qpi
    is_grey = seen.layout.compression.endswith(GREY)
    return is_grey and (seen.samples not in (3, 4) or seen.dtype != "uint8")


def refuse_unless_brightfield(seen: Survey) -> None:
    """Raise unless the picture is one red-green-blue plane of bytes made by transmitted light.

    Raises:
        SlideError: with what it is instead.
    """
    if seen.fluorescence:
        raise SlideError(FLUORESCENT_COLOURS)
    if seen.planes > 1:
        raise SlideError(
            f"multi-channel ({seen.planes} planes, {seen.axes} {seen.dtype}) and no brightfield; "
            "read it with --reader auto or ome"
        )
    _refuse_colourless(seen)


def _refuse_colourless(seen: Survey) -> None:
    if seen.is_one_grey_plane and seen.pictures > 1:
        raise SlideError(
            f"{seen.pictures} pictures of different sizes or values, the largest one plane of "
            f"{seen.dtype}; the planes of a slide are alike"
        )
    if seen.is_one_grey_plane:
        raise SlideError(
            f"one plane of {seen.dtype}: a mask is no slide, and a slide in several such files is "
            "named by its folder"
        )
    if seen.dtype != "uint8" or seen.samples not in (3, 4):
        raise SlideError(
            f"{seen.samples} sample(s) of {seen.dtype} per pixel; brightfield has three of uint8"
        )
    if seen.layout.compression.endswith("separated"):
        raise SlideError("inks instead of red, green and blue")


def largest_series(tiff: Any) -> int:
    """Index of the picture with the most pixels per plane, the first of equals.

    Raises:
        SlideError: there is none; tifffile says nothing of a truncated file.
    """
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
        pictures=len(tiff.series),
        sizes=sizes,
        layout=_layout(page),
        piece_px=max(
            (_piece(level.keyframe) for level in series.levels), key=lambda p: p[0] * p[1]
        ),
        resolutions=(*_ome_resolution(tiff, sizes[0]), *_tag_resolution(page)),
        is_ome=bool(tiff.is_ome),
        is_qpi=bool(tiff.is_qpi),
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
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip, page.imagelength)


def _tag_resolution(page: Any) -> tuple[Resolution, ...]:
    """What the resolution tags state; nothing where they are of a type they cannot be."""
    try:
        unit = RESOLUTION_UNITS.get(int(page.tags.valueof("ResolutionUnit", INCH)))
        x, y = (ratio(page.tags.valueof(f"{axis}Resolution", (0, 1))) for axis in "XY")
    except (LookupError, TypeError, ValueError):
        return ()
    return from_per_unit("tiff.resolution", x, y, unit) if unit else ()


def ratio(value: tuple[int, int]) -> float:
    """What a rational tag says; 0 where it divides by nothing."""
    return value[0] / value[1] if value[1] else 0.0


def _ome_resolution(tiff: Any, size: tuple[int, int]) -> tuple[Resolution, ...]:
    return described(tiff.ome_metadata, size).resolutions if tiff.is_ome else ()
