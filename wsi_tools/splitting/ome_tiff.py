"""One marker as pyramidal OME-TIFF: tiles, lower levels as SubIFDs, metadata as OME-XML."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_tools.splitting.pyramid import TILE_PX, tile_rows

__all__ = ["write"]

HORIZONTAL, FLOATING = 2, 3  # predictors that deflate gains from
UM_PER_CM = 1e4


def write(
    path: Path, levels: Sequence[Any], described: Mapping[str, Any], alive: Callable[[], None]
) -> None:
    """Write levels that lie on disk already, tile by tile.

    Args:
        path: a file that is not there yet.
        levels: arrays (height, width) that can be cut, finest first.
        described: `name`, `image`, `mpp` ((x, y) µm or None), `exposure_ms` and `provenance`.
        alive: called after every row of tiles.
    """
    dtype = np.dtype(levels[0].dtype)
    stored = {
        "dtype": dtype,
        "tile": (TILE_PX, TILE_PX),
        "photometric": "minisblack",
        "compression": "adobe_deflate",
        "predictor": FLOATING if dtype.kind == "f" else HORIZONTAL,
    }
    size = sum(level.shape[0] * level.shape[1] * dtype.itemsize for level in levels)
    with tifffile.TiffWriter(path, ome=True, bigtiff=size > 2**31) as tiff:
        for place, level in enumerate(levels):
            first = place == 0
            tiff.write(
                _tiles(level, alive),
                shape=level.shape,
                subifds=len(levels) - 1 if first else None,
                subfiletype=0 if first else 1,
                metadata=_metadata(described) if first else None,
                **stored,
                **_resolution(described["mpp"], place),
            )


def _tiles(level: Any, alive: Callable[[], None]) -> Iterator[NDArray[Any]]:
    """Yield the tiles row by row, those at the right and lower edge filled up with zero."""
    height, width = level.shape
    for top, end in tile_rows(height):
        rows = np.asarray(level[top:end, 0:width])
        for left, right in tile_rows(width):
            tile = np.zeros((TILE_PX, TILE_PX), rows.dtype)
            tile[: end - top, : right - left] = rows[:, left:right]
            yield tile
        alive()


def _metadata(described: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "axes": "YX",
        "Name": described["image"],
        "Description": json.dumps(described["provenance"]),
        "Channel": {"Name": [described["name"]]},
    }
    if described["mpp"]:
        x, y = described["mpp"]
        told |= {"PhysicalSizeX": x, "PhysicalSizeXUnit": "µm"}
        told |= {"PhysicalSizeY": y, "PhysicalSizeYUnit": "µm"}
    if described["exposure_ms"]:
        told["Plane"] = {"ExposureTime": [described["exposure_ms"]], "ExposureTimeUnit": ["ms"]}
    return told


def _resolution(mpp: tuple[float, float] | None, level: int) -> dict[str, Any]:
    """The resolution tags of a level, in pixels per centimetre."""
    if mpp is None:
        return {}
    x, y = (UM_PER_CM / (each * 2**level) for each in mpp)
    return {"resolution": (x, y), "resolutionunit": "CENTIMETER"}
