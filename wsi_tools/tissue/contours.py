"""Masks and polygons with holes, each made from the other so that both describe the same area.

A pixel of a mask is a square: its outline runs along pixel edges, never through pixel centres.
Polygons are in level-0 pixels, x before y; masks are (row, column) in their own pixels.
"""

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.tissue.boundary import rings
from wsi_tools.tissue.runs import Runs

__all__ = ["only_polygons", "outlines", "rasterised"]

Mask = NDArray[np.uint8]
Pair = tuple[float, float]


def outlines(tissue: Runs, scale: Pair) -> shapely.MultiPolygon:
    """Trace a mask along its pixel edges.

    Args:
        tissue: the runs of the mask.
        scale: (x, y) level-0 pixels per pixel of the mask.

    Returns:
        Valid polygons in level-0 pixels, holes as interiors; pixels that touch only at a corner
        belong to two polygons.
    """
    if not len(tissue.start):
        return shapely.MultiPolygon()
    found = rings(tissue)
    lines = shapely.linearrings(found.xy * scale, indices=found.of_corner)
    return shapely.MultiPolygon(list(shapely.polygons(lines, indices=found.of_piece)))


def rasterised(area: shapely.MultiPolygon, shape: tuple[int, int], scale: Pair) -> Mask:
    """Mark the pixels whose centre lies inside, by counting crossings along each row.

    Args:
        area: valid polygons in level-0 pixels.
        shape: (h, w) of the mask.
        scale: (x, y) level-0 pixels per pixel of the mask.

    Returns:
        uint8 (h, w), 1 inside and 0 outside.
    """
    height, width = shape
    crossings = np.zeros((height, width + 1), np.uint8)  # how many, modulo 256: parity survives
    row, x = _crossings(_sides(area) / scale, height)
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(int)  # the first centre at or right of x
    np.add.at(crossings, (row, column), 1)
    return np.cumsum(crossings, axis=1, dtype=np.uint8)[:, :width] & np.uint8(1)


def _sides(area: shapely.MultiPolygon) -> NDArray[np.float64]:
    """Give every side of every ring; (n, 2 ends, xy)."""
    rings = shapely.get_rings(shapely.get_parts(area))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return np.stack([xy[:-1][same], xy[1:][same]], axis=1)


def _crossings(
    sides: NDArray[np.float64], height: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Give (row, x) wherever a side crosses the line through the centres of a row of pixels."""
    y = sides[..., 1]  # (n, 2)
    first, end = np.clip(np.ceil(np.sort(y, axis=1) - 0.5), 0, height).astype(int).T
    count = end - first
    side = np.repeat(np.arange(len(sides)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[side]
    (x0, y0), (x1, y1) = sides[side, 0].T, sides[side, 1].T
    return row, x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)


def only_polygons(geometries: Iterable[shapely.Geometry]) -> shapely.MultiPolygon:
    """Keep the polygons among what set operations leave: points and lines have no area."""
    parts = shapely.get_parts(shapely.get_parts(list(geometries)))
    kept = parts[(shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)]
    return shapely.MultiPolygon(list(kept))
