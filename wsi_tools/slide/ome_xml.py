"""What OME-XML says of one of its pictures: channel names, exposures, the size of a pixel.

Source: the OME data model, schema 2016-06 (elements Pixels, Channel and Plane).
"""

from collections.abc import Mapping
from xml.etree import ElementTree

from wsi_tools.slide.acquisition import Acquisition
from wsi_tools.slide.info import Resolution
from wsi_tools.slide.resolution import from_text

__all__ = ["described"]

MS_PER_UNIT: Mapping[str, float] = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "μs": 1e-3, "ns": 1e-6}


def described(xml: str, size: tuple[int, int]) -> Acquisition:
    """Read the first picture of that size; a document that is none tells nothing.

    Args:
        xml: the OME-XML document.
        size: (width, height) of level 0 in pixels.
    """
    try:
        document = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return Acquisition("ome-tiff")
    for pixels in document.iterfind(".//{*}Pixels"):
        if (pixels.get("SizeX"), pixels.get("SizeY")) == (str(size[0]), str(size[1])):
            return Acquisition(
                vendor="ome-tiff",
                count=int(pixels.get("SizeC", 0)),
                names=_names(pixels),
                exposures_ms=_exposures(pixels),
                resolutions=_resolution(pixels),
            )
    return Acquisition("ome-tiff")


def _names(pixels: ElementTree.Element) -> tuple[str, ...]:
    found = pixels.iterfind("{*}Channel")
    return tuple(channel.get("Name") or channel.get("Fluor") or "" for channel in found)


def _exposures(pixels: ElementTree.Element) -> tuple[float | None, ...]:
    """The exposure of each channel's first plane that states one."""
    told: dict[str, float] = {}
    for plane in pixels.iterfind("{*}Plane"):
        scale = MS_PER_UNIT.get(plane.get("ExposureTimeUnit", "s"))
        text = plane.get("ExposureTime")
        if scale and text:
            told.setdefault(plane.get("TheC", "0"), float(text) * scale)
    return tuple(told.get(str(index)) for index, _ in enumerate(pixels.iterfind("{*}Channel")))


def _resolution(pixels: ElementTree.Element) -> tuple[Resolution, ...]:
    x, y = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY")
    unit = pixels.get("PhysicalSizeXUnit", "µm")
    return from_text("ome.PhysicalSize", x, y, unit, pixels.get("PhysicalSizeYUnit", unit))
