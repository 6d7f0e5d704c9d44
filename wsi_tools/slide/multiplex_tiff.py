"""Multi-channel TIFF at its own depth: OME-TIFF, QPTIFF, ImageJ hyperstacks, pages of planes.

Every plane of one file has one size and one dtype. Of a stack the middle z plane and the first
time point are shown, and it is said. Thumbnails, labels and overviews are never touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import tifffile
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.acquisition import channels
from wsi_tools.slide.pieces import PieceCache, Plane, read_planes
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.stack import Stack, pages_of, stack_of
from wsi_tools.slide.tiff import DECODING_FAILURES, Survey, is_multiplex, surveyed
from wsi_tools.slide.tiff_metadata import told_by
from wsi_tools.slide.tiff_planes import tiff_plane

__all__ = ["MultiplexTiffReader", "refuse_dtype"]

DTYPES = ("uint8", "uint16", "float32")


class MultiplexTiffReader:
    """A multi-channel TIFF; handles made from one another share the decoded pieces."""

    failures: ClassVar[tuple[type[Exception], ...]] = DECODING_FAILURES

    def __init__(
        self, path: Path, shown: Sequence[int] | None = None, cache: PieceCache | None = None
    ) -> None:
        self._path = path
        self._cache = cache or PieceCache()
        self._tiff = tifffile.TiffFile(path)
        try:
            seen = surveyed(self._tiff)
            _refuse(seen)
            self._open(seen, shown)
        except DECODING_FAILURES:
            self._tiff.close()
            raise

    def _open(self, seen: Survey, shown: Sequence[int] | None) -> None:
        series = self._tiff.series[seen.series]
        stacks = [stack_of(level) for level in series.levels]
        pages = pages_of(series, stacks[0])
        _refuse_mixed(self._tiff, seen, pages)
        told = told_by(self._tiff, seen, pages)
        every = channels(told, stacks[0].channels, seen.dtype)
        self._shown = tuple(range(len(every)) if shown is None else shown)
        self._planes = [
            [_named_plane(level, stack, place, every[place].name) for place in self._shown]
            for level, stack in zip(series.levels, stacks, strict=True)
        ]
        self.facts = Facts(
            vendor=told.vendor,
            sizes=seen.sizes,
            layout=seen.layout,
            resolutions=told.resolutions,
            channels=tuple(every[place] for place in self._shown),
            multiplex=True,
            warnings=(*stacks[0].warnings, *_left_out(self._tiff, series, seen)),
        )

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Decode a rectangle inside the level: (height, width, channels), each plane in one piece.

        Raises:
            SlideError: a plane cannot be decoded there; with the channel's name.
        """
        box = (x, y, width, height)
        return read_planes(self._planes[level], self.facts.channels, box, self._cache)

    def only(self, channels: Sequence[int]) -> "MultiplexTiffReader":
        """Open the file once more, for these of the channels shown."""
        shown = tuple(self._shown[place] for place in channels)
        return MultiplexTiffReader(self._path, shown, self._cache)

    def reopen(self) -> "MultiplexTiffReader":
        """Open the file once more, for the same channels."""
        return MultiplexTiffReader(self._path, self._shown, self._cache)

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


def refuse_dtype(dtype: str) -> None:
    """Refuse values that no camera counts: labels, signed or wide numbers."""
    if dtype not in DTYPES:
        raise SlideError(f"{dtype} values; markers are of {', '.join(DTYPES)}")


def _refuse(seen: Survey) -> None:
    if not is_multiplex(seen):
        raise SlideError("no panel of channels; leave --reader at auto")
    refuse_dtype(seen.dtype)
    refuse_oversized(seen.sizes[0])
    refuse_piece(seen.piece_px, "tile or strip")


def _refuse_mixed(tiff: Any, seen: Survey, pages: Sequence[Any]) -> None:
    """Refuse planes that differ; those of a plain file tifffile parts into pictures by shape."""
    dtypes = {str(page.dtype) for page in pages} | {seen.dtype}
    for other in () if seen.is_ome else tiff.series:
        lengths = dict(zip(other.axes, other.shape, strict=True))
        if "S" in lengths or other.keyframe.is_reduced:
            continue  # a thumbnail
        size = lengths["X"], lengths["Y"]
        if size == seen.sizes[0]:
            dtypes.add(str(other.dtype))
        elif not seen.is_qpi and len(other) != seen.planes:  # as many are a lower level
            _refuse_sizes(seen.sizes[0], size)
    if len(dtypes) > 1:
        raise SlideError(f"planes of {' and of '.join(sorted(dtypes))} in one file")


def _refuse_sizes(one: tuple[int, int], other: tuple[int, int]) -> None:
    raise SlideError(
        f"planes of {one[0]} × {one[1]} and of {other[0]} × {other[1]} pixels in one file"
    )


def _left_out(tiff: Any, series: Any, seen: Survey) -> tuple[str, ...]:
    if not seen.is_ome or len(tiff.series) == 1:
        return ()
    count = len(tiff.series)
    return (f"{count} pictures in the file; the first of the largest, {series.name!r}, is shown",)


def _named_plane(level: Any, stack: Stack, place: int, channel: str) -> Plane:
    try:
        return tiff_plane(level, stack, place)
    except SlideError as error:
        raise SlideError(f"channel {channel}: {error}") from None
