"""Brightfield TIFF, tile by tile from the file: each tile is decoded once while its row lasts.

A tile of a slide is a picture by itself, so a rectangle costs no more than the tiles it meets; what
a general reader does beside that costs several times the decoding. Level 0 is OpenSlide's to the
bit, and lower levels are the file's own pixels, never interpolated. What must be joined or placed
first (Ventana, Leica, Trestle) and what is stored in strips is left to the other readers.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from openslide import OpenSlideError

from wsi_tools.errors import SlideError
from wsi_tools.slide.openslide import OpenSlideReader
from wsi_tools.slide.pieces import PieceCache, read_colours
from wsi_tools.slide.reader import Facts
from wsi_tools.slide.tiff import DECODING_FAILURES, surveyed
from wsi_tools.slide.tiff_planes import colour_plane, shrunk_plane
from wsi_tools.slide.tiffslide import TiffSlideReader, refuse_unless_plain

__all__ = ["TiffReader"]

CODECS = ("NONE", "LZW", "DEFLATE", "ADOBE_DEFLATE", "JPEG", "WEBP", "APERIO_JP2000_RGB")


@dataclass
class _Shared:
    """An open file, closed when the last of those that read it is.

    Attributes:
        tiff: tifffile's.
        readers: how many are open.
        is_sound: whether no read has failed yet; after one the disk may have forgotten the file,
            and handles to come open it anew.
    """

    tiff: Any
    readers: int = 1
    is_sound: bool = True
    lock: Lock = field(default_factory=Lock)

    def join(self) -> None:
        with self.lock:
            self.readers += 1

    def leave(self) -> None:
        with self.lock:
            self.readers -= 1
            if not self.readers:
                self.tiff.close()


class TiffReader:
    """A tiled brightfield TIFF; handles made from one another share the file and decoded tiles.

    Where every level is of JPEG tiles, it may be decoded at a half, a quarter or an eighth.

    What the slide is, its levels among that, is as the library says that knows the vendor's words:
    TiffSlide for OME-TIFF and for codecs that OpenSlide lacks, OpenSlide for the others.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = (*DECODING_FAILURES, OpenSlideError)

    def __init__(self, path: Path, facts: Facts | None = None) -> None:
        self._path, self._shrink, self._cache = path, 1, PieceCache()
        self._file = _Shared(tifffile.TiffFile(path))
        try:
            self.facts = self._whole = facts or _facts(path, self._file.tiff)
            pages = _pages(self._file.tiff, self.facts.sizes)
            self._levels = [colour_plane(page) for page in pages]
        except self.failures:
            self._file.leave()
            raise

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Decode a rectangle inside the level: uint8 (height, width, 3)."""
        try:
            return read_colours(self._levels[level], (x, y, width, height), self._cache)
        except self.failures:
            self._file.is_sound = False
            raise

    def reopen(self) -> "TiffReader":
        """Give another handle on the open file, all of whose reads name their place, if sound."""
        if not self._file.is_sound:
            anew = TiffReader(self._path, self._whole)
            anew._cache = self._cache
            return anew if self._shrink == 1 else anew._decode_at(self._shrink)
        self._file.join()
        return copy(self)

    def shrinks(self, factor: int) -> bool:
        """Whether the tiles of every level can be decoded at so many times less."""
        return all(shrunk_plane(level, factor) for level in self._levels)

    def shrunk(self, factor: int) -> "TiffReader":
        """Open the file once more, to be decoded at so many times less."""
        return TiffReader(self._path, self._whole)._decode_at(factor)

    def _decode_at(self, shrink: int) -> "TiffReader":
        levels = [shrunk_plane(level, shrink) for level in self._levels]
        self._levels = [level for level in levels if level is not None]
        sizes = (tuple(-(-side // shrink) for side in size) for size in self._whole.sizes)
        self.facts = replace(self._whole, sizes=tuple((width, height) for width, height in sizes))
        self._shrink = shrink
        return self

    def close(self) -> None:
        """Close the file, unless another handle reads it."""
        self._file.leave()


def _facts(path: Path, tiff: Any) -> Facts:
    seen = surveyed(tiff)
    refuse_unless_plain(seen)
    codec = _codec(tiff.series[seen.series].keyframe)
    kind = TiffSlideReader if seen.is_ome or codec == "WEBP" else OpenSlideReader
    described = kind(path)
    described.close()
    return described.facts


def _codec(page: Any) -> str:
    """The compression of a page's tiles, if decoding them gives red, green and blue.

    Raises:
        SlideError: it does not.
    """
    codec = getattr(page.compression, "name", str(page.compression))
    as_colours = codec == "JPEG" or page.photometric == tifffile.PHOTOMETRIC.RGB
    if codec not in CODECS or not as_colours:
        raise SlideError(f"tiles compressed by {codec}, of which only OpenSlide knows the colours")
    return codec


def _pages(tiff: Any, sizes: tuple[tuple[int, int], ...]) -> Iterator[Any]:
    """The page of each level: tifffile sees no pyramid in some files where OpenSlide does.

    Raises:
        SlideError: there is no page of a level's size.
    """
    levels = [level[0] for series in tiff.series for level in series.levels]
    for size in sizes:
        found = [page for page in levels if page.is_tiled and page.shape[1::-1] == size]
        if not found:
            raise SlideError(f"no page of {size[0]} × {size[1]}, the size of one of its levels")
        _codec(found[0])
        yield found[0]
