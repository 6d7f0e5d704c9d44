"""What a multi-channel TIFF's own metadata say: OME-XML, QPTIFF's XML, ImageJ's, JSON per page."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from wsi_tools.slide.acquisition import Acquisition
from wsi_tools.slide.ome_xml import described
from wsi_tools.slide.resolution import from_per_unit, from_text
from wsi_tools.slide.tiff import Survey, ratio

__all__ = ["told_by"]

LONGEST_NAME = 64  # characters; a longer description is prose
PAGE_NAME = 285
QPI_MS = 1e-3  # QPTIFF states exposures in microseconds
MIBI_NAME = re.compile(r" \(\d+\)$")  # "CD45 (152)": the page's name ends in the mass
HYPERSTACK_PLACE = re.compile(r"^([czt]:\d+/\d+ *)+(- *)?")  # "c:1/7 z:2/5 - CD8"


def told_by(tiff: Any, seen: Survey, pages: Sequence[Any]) -> Acquisition:
    """Read whichever of them the file has.

    Args:
        tiff: the file, open in tifffile.
        seen: its survey.
        pages: the page of each channel; none where the file does not write them one by one.
    """
    if seen.is_ome:
        told = described(tiff.ome_metadata, seen.sizes[0])
        return replace(told, resolutions=seen.resolutions)
    if seen.is_qpi:
        return _qptiff(seen, pages)
    if tiff.is_imagej:
        return _imagej(tiff.imagej_metadata or {}, tiff.series[seen.series], seen)
    return Acquisition("tiff", names=_page_names(pages), resolutions=seen.resolutions)


def _qptiff(seen: Survey, pages: Sequence[Any]) -> Acquisition:
    """The tags hold the measured size of a pixel, the scan profile the nominal one."""
    documents = [_parsed(page.description) for page in pages]
    nominal = documents[0].findtext(".//ScanResolution/PixelSizeMicrons") if documents else None
    return Acquisition(
        vendor="qptiff",
        names=tuple(_qpi_name(each) for each in documents),
        exposures_ms=tuple(_qpi_exposure(each) for each in documents),
        resolutions=(*seen.resolutions, *from_text("qptiff.PixelSizeMicrons", nominal, None)),
    )


def _qpi_name(document: ElementTree.Element) -> str:
    return document.findtext("Biomarker") or document.findtext("Name") or ""


def _qpi_exposure(document: ElementTree.Element) -> float | None:
    text = document.findtext("ExposureTime")
    return float(text) * QPI_MS if text else None


def _parsed(xml: str) -> ElementTree.Element:
    """The document, or an empty one: a page without a description has nothing to say."""
    return ElementTree.fromstring(xml) if xml.lstrip().startswith("<") else ElementTree.Element("_")


def _imagej(metadata: dict[str, Any], series: Any, seen: Survey) -> Acquisition:
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ")
    page = series.keyframe
    x, y = (ratio(page.tags.valueof(f"{axis}Resolution", (0, 1))) for axis in "XY")
    return Acquisition(
        vendor="imagej",
        names=_imagej_names(metadata, seen),
        resolutions=(*from_per_unit("imagej.unit", x, y, unit), *seen.resolutions),
    )


def _imagej_names(metadata: dict[str, Any], seen: Survey) -> tuple[str, ...]:
    """Labels are one per plane, channels fastest; those of the first plane are the channels'."""
    labels = [HYPERSTACK_PLACE.sub("", str(label)) for label in metadata.get("Labels", ())]
    channels = dict(zip(seen.axes, seen.shape, strict=True)).get("C", 1)
    return _if_distinct(labels[:channels])


def _page_names(pages: Sequence[Any]) -> tuple[str, ...]:
    return _if_distinct([_page_name(page) for page in pages])


def _page_name(page: Any) -> str:
    """The target of a MIBI page, the page's name, or a description that is a name and no prose."""
    description = page.description.strip()
    if description.startswith("{"):
        target = _json(description).get("channel.target")
        if target:
            return str(target)
        description = ""
    name = MIBI_NAME.sub("", str(page.tags.valueof(PAGE_NAME, "")).strip())
    if name:
        return name
    is_name = len(description) <= LONGEST_NAME and "\n" not in description
    return description if is_name and not description.startswith("<") else ""


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _if_distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, unless they do not tell the planes apart."""
    return tuple(names) if len(set(names)) == len(names) and all(names) else ()
