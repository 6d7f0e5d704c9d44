"""A tile grid as arrays and attributes, both ways."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.tiling import TileGrid, TileSpec

COLUMNS = ("coords", "grid_index", "tissue")


def names(folder: Path) -> tuple[str, ...]:
    """The complete members of a folder; what is half-written starts with a dot."""
    nodes = (path.parent.name for path in folder.glob("*/zarr.json"))
    return tuple(sorted(name for name in nodes if not name.startswith(".")))


def columns(grid: TileGrid) -> dict[str, NDArray[Any]]:
    """The arrays of a grid under their names on disk, a row for each tile."""
    return {
        "coords": grid.xy.astype(np.int32),
        "grid_index": grid.index.astype(np.int32),
        "tissue": grid.tissue.astype(np.float32),
    }


def attributes(grid: TileGrid) -> dict[str, Any]:
    """A grid's geometry: what was asked for, what is read, and what that is at level 0."""
    spec = grid.spec
    return {
        "requested": {"mpp": spec.mpp, "tile_px": spec.px, "overlap": spec.overlap},
        "min_tissue": spec.min_tissue,
        "mpp_tolerance": spec.mpp_tolerance,
        "allow_upsample": spec.allow_upsample,
        "read": {
            "level": grid.level,
            "tile_px": list(grid.read_px),
            "mpp": list(grid.mpp),
            "resampled": grid.resampled,
        },
        "level0": {
            "tile_px": list(grid.level0_px),
            "tile_px_rounded": [round(side) for side in grid.level0_px],
            "step": list(grid.step),
        },
        "order": "row-major",
        "anchor": list(grid.anchor),
    }


def from_disk(attrs: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TileGrid:
    """The grid again, as it was written."""
    requested, read, level0 = attrs["requested"], attrs["read"], attrs["level0"]
    return TileGrid(
        spec=TileSpec(
            px=requested["tile_px"],
            mpp=requested["mpp"],
            overlap=requested["overlap"],
            min_tissue=attrs["min_tissue"],
            mpp_tolerance=attrs["mpp_tolerance"],
            allow_upsample=attrs["allow_upsample"],
        ),
        xy=arrays["coords"],
        index=arrays["grid_index"],
        tissue=arrays["tissue"],
        level=read["level"],
        read_px=tuple(read["tile_px"]),
        mpp=tuple(read["mpp"]),
        resampled=read["resampled"],
        level0_px=tuple(level0["tile_px"]),
        step=tuple(level0["step"]),
        anchor=tuple(attrs["anchor"]),
    )
