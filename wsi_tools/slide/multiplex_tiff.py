"""Multi-channel TIFF at its own depth: OME-TIFF, QPTIFF, ImageJ hyperstacks, pages of planes.

Every plane of one file has one size and one dtype. Of a stack the middle z plane and the first
time point are shown, and it is said. Thumbnails, labels and overviews are never touched.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.acquisition import channels
from wsi_tools.slide.pieces import EncodedPlane, PieceCache, Plane, RawPlane, read_plane
from wsi_tools.slide.planes import Stack, pages_of, stack_of
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.tiff import (
    DECODING_FAILURES,
    FLUORESCENT_COLOURS,
    Survey,
    is_multiplex,
    surveyed,
)
from wsi_tools.slide.tiff_metadata import told_by

__all__ = ["DTYPES", "MultiplexTiffReader"]

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
        _refuse_mixed(self._tiff, seen)
        pages = pages_of(series, stacks[0])
        told = told_by(self._tiff, seen, pages)
        every = channels(told, stacks[0].channels, seen.dtype)
        self._shown = tuple(range(len(every)) if shown is None else shown)
        self._planes = [
            [_plane(level, stack, place, every[place].name) for place in self._shown]
            for level, stack in zip(series.levels, stacks, strict=True)
        ]
        self.facts = Facts(
            vendor=told.vendor,
            sizes=seen.sizes,
            layout=seen.layout,
            resolutions=told.resolutions,
            channels=tuple(every[place] for place in self._shown),
            multiplex=True,
            warnings=stacks[0].warnings,
        )

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Decode a rectangle inside the level: (height, width, channels), each plane in one piece.

        Raises:
            SlideError: a plane cannot be decoded there; with the channel's name.
        """
        planes = self._planes[level]
        out = np.empty((len(planes), height, width), self.facts.channels[0].dtype)
        file = self._tiff.filehandle.fileno()
        for plane, canvas in zip(planes, out, strict=True):
            try:
                read_plane(plane, file, (x, y, width, height), canvas, self._cache)
            except DECODING_FAILURES as error:
                raise SlideError(f"channel {plane.channel}: {error}") from error
        return out.transpose(1, 2, 0)

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


def _refuse(seen: Survey) -> None:
    if not is_multiplex(seen):
        raise SlideError(_why_not(seen))
    if seen.dtype not in DTYPES:
        raise SlideError(f"{seen.dtype} values; markers are {', '.join(DTYPES)}")
    refuse_oversized(seen.sizes[0])
    refuse_piece(seen.piece_px, "tile or strip")


def _why_not(seen: Survey) -> str:
    if seen.fluorescence:
        return FLUORESCENT_COLOURS
    if seen.samples == 1:
        return f"one plane of {seen.dtype}, which may as well be a mask; a panel has channels"
    return "red, green and blue; leave --reader at auto"


def _refuse_mixed(tiff: Any, seen: Survey) -> None:
    """Refuse a plain file whose planes differ: tifffile parts them into several pictures."""
    if seen.is_ome:
        return
    for other in tiff.series:
        size = dict(zip(other.axes, other.shape, strict=True))
        same_size = (size.get("X"), size.get("Y")) == seen.sizes[0]
        if same_size and "S" not in size and str(other.dtype) != seen.dtype:
            raise SlideError(f"planes of {seen.dtype} and of {other.dtype} in one file")


def _plane(level: Any, stack: Stack, place: int, channel: str) -> Plane:
    """The plane that shows a channel at one level.

    Raises:
        SlideError: the file does not hold it, or ends before it does.
    """
    plane = _stored(level, stack, place, channel)
    held = level.keyframe.parent.filehandle.size
    if (missing := plane.end - held) > 0:
        raise SlideError(f"channel {channel}: the file ends {missing:,} bytes too early")
    return plane


def _stored(level: Any, stack: Stack, place: int, channel: str) -> Plane:
    kept = level.keyframe
    sample, separate = stack.samples[place], stack.separate[place]
    if level.dataoffset is not None and not kept.is_tiled:
        samples = kept.samplesperpixel if kept.planarconfig == 1 else 1
        shape = (kept.imagelength, kept.imagewidth, samples)
        dtype = np.dtype(kept.parent.byteorder + kept.dtype.char)
        before = stack.pages[place] * kept.nbytes + separate * prod(shape) * dtype.itemsize
        return RawPlane(channel, sample, level.dataoffset + before, shape, dtype)
    page = level[stack.pages[place]]
    if page is None or page.parent is not kept.parent:
        raise SlideError(f"channel {channel}: its plane is in another file; make one file of all")
    return EncodedPlane(channel, sample, page, separate)
