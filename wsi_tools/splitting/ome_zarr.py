"""One marker as OME-Zarr 0.5: the arrays of its levels, and metadata that other programs know.

Source: the OME-NGFF specification, version 0.5 (multiscales, omero).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr

from wsi_tools.splitting.pyramid import TILE_PX, level_sizes

__all__ = ["create"]

UM = "micrometer"


def create(
    folder: Path, size: tuple[int, int], dtype: str, described: Mapping[str, Any]
) -> list["Plane"]:
    """Make the group and an empty array for every level.

    Args:
        folder: where to.
        size: (width, height) of level 0.
        dtype: of every level.
        described: `name`, `mpp` ((x, y) µm or None), and `provenance`, ready for JSON.

    Returns:
        The arrays, (1, height, width) as planes (height, width), finest first.
    """
    sizes = level_sizes(size)
    group = zarr.open_group(folder, mode="w-", zarr_format=3)
    group.attrs.update(
        {"ome": _metadata(sizes, dtype, described), "wsitools": described["provenance"]}
    )
    return [Plane(_array(group, str(level), each, dtype)) for level, each in enumerate(sizes)]


class Plane:
    """The one plane of an array (1, height, width), to be cut and filled as (height, width)."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, int] = array.shape[1:]
        self.dtype = array.dtype

    def __getitem__(self, place: tuple[slice, slice]) -> Any:
        return self._array[(0, *place)]

    def __setitem__(self, place: tuple[slice, slice], pixels: Any) -> None:
        self._array[(0, *place)] = pixels


def _array(group: Any, name: str, size: tuple[int, int], dtype: str) -> Any:
    return group.create_array(
        name,
        shape=(1, size[1], size[0]),
        dtype=dtype,
        chunks=(1, min(TILE_PX, size[1]), min(TILE_PX, size[0])),
        dimension_names=("c", "y", "x"),
    )


def _metadata(
    sizes: Sequence[tuple[int, int]], dtype: str, described: Mapping[str, Any]
) -> dict[str, Any]:
    mpp = described["mpp"]
    unit = {"unit": UM} if mpp else {}  # without one a scale is in pixels
    multiscale = {
        "name": described["name"],
        "type": "mean of 2 × 2 pixels",
        "axes": [
            {"name": "c", "type": "channel"},
            {"name": "y", "type": "space", **unit},
            {"name": "x", "type": "space", **unit},
        ],
        "datasets": [_dataset(level, mpp or (1.0, 1.0)) for level in range(len(sizes))],
    }
    channel = {
        "label": described["name"],
        "color": "FFFFFF",
        "active": True,
        "window": _window(dtype),
    }
    return {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": [channel]}}


def _dataset(level: int, mpp: tuple[float, float]) -> dict[str, Any]:
    x, y = (each * 2**level for each in mpp)
    return {
        "path": str(level),
        "coordinateTransformations": [{"type": "scale", "scale": [1.0, y, x]}],
    }


def _window(dtype: str) -> dict[str, float]:
    """The brightness that a viewer begins with: the range of the type; of shares, 0 to 1."""
    largest = {"uint8": 255.0, "uint16": 65_535.0}.get(dtype, 1.0)
    return {"min": 0.0, "start": 0.0, "end": largest, "max": largest}
