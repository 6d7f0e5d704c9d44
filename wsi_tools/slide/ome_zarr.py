"""OME-Zarr 0.4 and 0.5: a folder with a pyramid of arrays, its axes and channels in the metadata.

Source: the OME-NGFF specification, versions 0.4 and 0.5 (multiscales, omero).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.acquisition import Acquisition, channels
from wsi_tools.slide.folders import multiscales
from wsi_tools.slide.info import Layout, Resolution
from wsi_tools.slide.multiplex_tiff import refuse_dtype
from wsi_tools.slide.pieces import Key, Piece, PieceCache, read_planes
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.resolution import from_text
from wsi_tools.slide.stack import middle_and_first
from wsi_tools.slide.tiff import DECODING_FAILURES

__all__ = ["OmeZarrReader"]

JSON = Mapping[str, Any]


class OmeZarrReader:
    """The arrays of a pyramid; handles made from one another share the decoded chunks."""

    failures: ClassVar[tuple[type[Exception], ...]] = DECODING_FAILURES

    def __init__(
        self, path: Path, shown: Sequence[int] | None = None, cache: PieceCache | None = None
    ) -> None:
        found = multiscales(path) if path.is_dir() else None
        if found is None:
            raise SlideError("no OME-Zarr: a folder whose metadata tell of multiscales")
        self._path = path
        self._cache = cache or PieceCache()
        image = _Image.of(*found)
        every = channels(image.told(), image.count, image.dtype)
        self._shown = tuple(range(len(every)) if shown is None else shown)
        self._planes = [
            [image.plane(level, place) for place in self._shown]
            for level in range(len(image.sizes))
        ]
        self.facts = Facts(
            vendor="ome-zarr",
            sizes=image.sizes,
            layout=image.layout,
            resolutions=image.resolutions(),
            channels=tuple(every[place] for place in self._shown),
            multiplex=True,
            warnings=middle_and_first(image.lengths(0)),
        )

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Decode a rectangle inside the level: (height, width, channels).

        Raises:
            SlideError: a plane cannot be decoded there; with the channel's name.
        """
        box = (x, y, width, height)
        return read_planes(self._planes[level], self.facts.channels, box, self._cache)

    def only(self, channels: Sequence[int]) -> "OmeZarrReader":
        """Open it once more, for these of the channels shown."""
        shown = tuple(self._shown[place] for place in channels)
        return OmeZarrReader(self._path, shown, self._cache)

    def reopen(self) -> "OmeZarrReader":
        """Open it once more, for the same channels."""
        return OmeZarrReader(self._path, self._shown, self._cache)

    def close(self) -> None:
        """Nothing is held open: chunks are files that are read and closed."""


@dataclass(frozen=True)
class _Image:
    """A pyramid with its metadata.

    Attributes:
        arrays: finest first.
        axes: one letter each, such as "tczyx".
        multiscale: the first entry of "multiscales".
        omero: how the channels are to be shown, with their names; may be empty.
    """

    arrays: tuple[Any, ...]
    axes: str
    multiscale: JSON
    omero: JSON

    @classmethod
    def of(cls, group: Path, attributes: JSON) -> "_Image":
        """Open the arrays that the metadata name.

        Raises:
            SlideError: the metadata are not as the specification says.
        """
        try:
            multiscale = attributes["multiscales"][0]
            axes = "".join(each["name"] for each in multiscale["axes"]).lower()
            places = [group / each["path"] for each in multiscale["datasets"]]
        except (LookupError, TypeError) as error:
            raise SlideError(f"its multiscales metadata lack {error}") from error
        arrays = tuple(zarr.open_array(place, mode="r") for place in places)
        _refuse(axes, arrays)
        return cls(arrays, axes, multiscale, attributes.get("omero") or {})

    @property
    def dtype(self) -> str:
        return str(self.arrays[0].dtype)

    @property
    def count(self) -> int:
        return self.lengths(0).get("C", 1)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        every = (self.lengths(level) for level in range(len(self.arrays)))
        return tuple((lengths["X"], lengths["Y"]) for lengths in every)

    @property
    def layout(self) -> Layout:
        array = self.arrays[0]
        chunk = dict(zip(self.axes, array.chunks, strict=True))
        codecs = " ".join(type(each).__name__ for each in array.compressors)
        return Layout((chunk["x"], chunk["y"]), f"zarr {codecs or 'uncompressed'}".lower())

    def lengths(self, level: int) -> dict[str, int]:
        """How long each axis is, by its capital letter."""
        return dict(zip(self.axes.upper(), self.arrays[level].shape, strict=True))

    def told(self) -> Acquisition:
        """The channels' names."""
        shown = self.omero.get("channels") or ()
        return Acquisition("ome-zarr", names=tuple(str(each.get("label") or "") for each in shown))

    def resolutions(self) -> tuple[Resolution, ...]:
        """The size of a level-0 pixel, where its unit is stated."""
        scale = _scale(self.multiscale["datasets"][0], len(self.axes))
        whole = _scale(self.multiscale, len(self.axes))
        units = {each["name"].lower(): each.get("unit", "") for each in self.multiscale["axes"]}
        x, y = (scale[at] * whole[at] for at in (self.axes.index("x"), self.axes.index("y")))
        return from_text("ome-zarr.scale", str(x), str(y), units["x"], units["y"])

    def plane(self, level: int, channel: int) -> "_ZarrPlane":
        """One channel of one level."""
        lengths = self.lengths(level)
        at = {"c": channel, "z": lengths.get("Z", 1) // 2, "t": 0}
        return _ZarrPlane(self.arrays[level], self.axes, level, tuple(at.items()))


@dataclass(frozen=True)
class _ZarrPlane:
    """One channel of one level: the array, and the place along its axes that are not x and y."""

    array: Any
    axes: str
    level: int
    at: tuple[tuple[str, int], ...]

    @property
    def piece_px(self) -> tuple[int, int]:
        chunk = dict(zip(self.axes, self.array.chunks, strict=True))
        return chunk["x"], chunk["y"]

    @property
    def sample(self) -> int:
        """Chunks may hold several channels; the first of them is sample 0."""
        return dict(self.at)["c"] % self._channels_per_chunk

    def band(self, row: int) -> Key:
        return self.level, dict(self.at)["c"] // self._channels_per_chunk, row

    def load(self, column: int, row: int) -> Piece:
        """Decode one chunk, of its z plane and time point alone: (height, width, channels)."""
        chosen = tuple(self._chosen(axis, column, row) for axis in self.axes)
        found = np.asarray(self.array[chosen])
        kept = [axis for axis in self.axes if axis in "cyx"]
        if "c" not in kept:
            found, kept = found[None], ["c", *kept]
        return found.transpose([kept.index(axis) for axis in "yxc"])

    def _chosen(self, axis: str, column: int, row: int) -> slice | int:
        width, height = self.piece_px
        if axis == "x":
            return slice(column * width, (column + 1) * width)
        if axis == "y":
            return slice(row * height, (row + 1) * height)
        place = dict(self.at)[axis]
        if axis != "c":
            return place
        first = place - place % self._channels_per_chunk
        return slice(first, first + self._channels_per_chunk)

    @property
    def _channels_per_chunk(self) -> int:
        return int(dict(zip(self.axes, self.array.chunks, strict=True)).get("c", 1))


def _scale(described: JSON, axes: int) -> Sequence[float]:
    """The factor per axis of its transformation, 1 where it states none."""
    for each in described.get("coordinateTransformations") or ():
        if each.get("type") == "scale" and len(each.get("scale", ())) == axes:
            return [float(factor) for factor in each["scale"]]
    return [1.0] * axes


def _refuse(axes: str, arrays: Sequence[Any]) -> None:
    if not arrays or not set("yx") <= set(axes) <= set("tczyx") or len(set(axes)) != len(axes):
        raise SlideError(f"its axes are {axes!r}; a slide has some of t, c, z, and y and x")
    for array in arrays:
        if array.ndim != len(axes) or array.dtype != arrays[0].dtype:
            raise SlideError("its levels differ in dtype, or in their number of axes")
    refuse_dtype(str(arrays[0].dtype))
    shape = dict(zip(axes, arrays[0].shape, strict=True))
    refuse_oversized((shape["x"], shape["y"]))
    for array in arrays:
        width = array.chunks[axes.index("x")]
        refuse_piece((width, prod(array.chunks) // max(1, width)), "chunk")
