"""Named polygons as GeoJSON: written as QuPath reads it, read as QuPath and others write it.

Coordinates are level-0 pixels, x before y, origin at the top left; they are no longitudes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import shapely
from shapely.geometry import mapping, shape

from wsi_tools.errors import DataError
from wsi_tools.tissue.contours import only_polygons

__all__ = ["Region", "parse_regions", "read_regions", "to_geojson"]

POLYGONS = ("Polygon", "MultiPolygon")


@dataclass(frozen=True)
class Region:
    """An area of a slide and the name of its class, empty where it has none.

    Attributes:
        area: valid polygons in level-0 pixels.
        name: the class as it was written.
    """

    area: shapely.MultiPolygon
    name: str = ""


def to_geojson(regions: Iterable[Region]) -> str:
    """Write one feature per polygon; the same regions give the same text."""
    features = [_feature(part, region.name) for region in regions for part in region.area.geoms]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _feature(polygon: shapely.Polygon, name: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation"}
    if name:
        properties["classification"] = {"name": name, "color": _colour(name)}
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_OID, f"{name} {shapely.to_wkb(polygon, hex=True)}")),
        "geometry": mapping(polygon),
        "properties": properties,
    }


def _colour(name: str) -> list[int]:
    """Give every class name a colour of its own, the same in every file."""
    return list(sha256(name.encode()).digest()[:3])


def read_regions(path: Path, slide_id: str) -> tuple[Region, ...]:
    """Read the regions of one slide from a file, or from `<slide_id>.geojson` in a folder.

    Raises:
        DataError: there is no such file, or it holds no polygons that can be understood.
    """
    file = path / f"{slide_id}.geojson" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); give a GeoJSON file") from error
    return parse_regions(text, str(file))


def parse_regions(text: str, where: str) -> tuple[Region, ...]:
    """Read a FeatureCollection, a list of features, one feature or a bare geometry.

    Polygons that cross themselves are made valid. A class is QuPath's `classification.name`, else
    the property `name`, else none.

    Args:
        text: GeoJSON.
        where: what to call the text in an error.

    Raises:
        DataError: not GeoJSON, or something in it is no polygon.
    """
    try:
        document = json.loads(text, parse_constant=_refuse)
        return tuple(_region(feature) for feature in _features(document))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(f"{where}: {_reason(error)}; give polygons as GeoJSON") from error
    except shapely.errors.ShapelyError as error:
        raise DataError(f"{where}: {_reason(error)}; give polygons as GeoJSON") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no coordinate")


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _features(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, list):
        yield from document
    elif document["type"] == "FeatureCollection":
        yield from document["features"]
    elif document["type"] == "Feature":
        yield document
    else:
        yield {"geometry": document}


def _region(feature: dict[str, Any]) -> Region:
    geometry = feature["geometry"]
    if geometry["type"] not in POLYGONS:
        raise ValueError(f"a {geometry['type']} has no area")
    area = shapely.force_2d(shape(geometry))
    if not np.isfinite(shapely.get_coordinates(area)).all():
        raise ValueError("a coordinate is infinite")
    return Region(only_polygons([shapely.make_valid(area)]), _name(feature))


def _name(feature: dict[str, Any]) -> str:
    properties = feature.get("properties") or {}
    classification = properties.get("classification") or {}
    return str(classification.get("name") or properties.get("name") or "")
