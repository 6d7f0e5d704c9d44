"""Tiles for QuPath: a polygon each, with its scores as measurements.

QuPath reads ``objectType``, ``measurements`` (name to number, as it writes them since 0.4) and
``color`` of a feature's properties. Coordinates are level-0 pixels, x before y.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.scale import coloured, scaled
from wsi_tools.heatmap.scores import TileScores

__all__ = ["to_geojson"]


def to_geojson(
    scores: TileScores,
    names: Sequence[str],
    *,
    scaling: str = "percentile",
    colours: str = "viridis",
    origin: tuple[float, float] = (0.0, 0.0),
) -> str:
    """Write a feature for every tile that has scores.

    Args:
        scores: of the slide.
        names: the scores that are measured; the first gives the colour.
        scaling: of the colours; the measurements are the scores themselves.
        colours: a ramp.
        origin: (x, y) in level-0 pixels of what shall be (0, 0): QuPath takes the corner of the
            slide's bounds for that, unless the slide is opened with ``--no-crop``.

    Raises:
        InputError: there is no such score.
    """
    columns = {name: scores.score(name) for name in names}
    first = scaled(columns[names[0]], scaling)
    paint = coloured(first.values, first, colours)  # (N, 3)
    boxes = _boxes(scores, origin)
    features = [
        _feature(scores, tile, boxes[tile], paint[tile], columns)
        for tile in np.flatnonzero(np.isfinite(first.values)).tolist()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False)


def _boxes(scores: TileScores, origin: tuple[float, float]) -> NDArray[np.float64]:
    """Left, top, right and bottom of every tile, ``(N, 4)``."""
    corner = scores.grid.xy - np.asarray(origin)
    return np.hstack((corner, corner + scores.grid.level0_px))


def _feature(
    scores: TileScores,
    tile: int,
    box: NDArray[np.float64],
    colour: NDArray[np.uint8],
    columns: dict[str, NDArray[np.float32]],
) -> dict[str, Any]:
    left, top, right, bottom = map(_shortest, box.tolist())
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    numbers = {name: float(str(column[tile])) for name, column in columns.items()}  # shortest
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_OID, f"{scores.slide_id} {scores.grid.spec.key} {tile}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "tile",
            "color": colour.tolist(),
            "measurements": numbers,
        },
    }


def _shortest(value: float) -> float:
    """A coordinate as a whole number where it is one, else to a thousandth of a pixel."""
    return int(value) if value.is_integer() else round(value, 3)
