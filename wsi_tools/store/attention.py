"""Attention over the tiles of one slide as a Zarr group, which is no store of features.

<slide_id>.attention.zarr/  attributes: slide_id, grid, names, and markers where there are any
coords            (N, 2) int32       level-0 px, top-left, x first
grid_index        (N, 2) int32       (row, column)
attention         (N, K) float32     a column per name; NaN where a tile was left out
marker_attention  (N, M, M) float32  among the markers of a tile: a row asks and sums to one
"""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

from wsi_tools.store import arrays
from wsi_tools.store.files import beside, discard

__all__ = ["write_attention"]


def write_attention(
    folder: Path, slide_id: str, columns: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
) -> Path:
    """Write the arrays of a slide, in the place of earlier ones; give the group's path."""
    path = folder / f"{slide_id}.attention.zarr"
    part = beside(path, uuid.uuid4().hex[:12], "part")
    group = zarr.create_group(part, zarr_format=3, attributes={**attributes, "slide_id": slide_id})
    for name, values in columns.items():
        arrays.write(group, name, values)
    if path.exists():
        discard(path)
    part.rename(path)
    return path
