"""A folder of single-channel TIFFs as one slide: a file is a channel, its stem the channel's name.

Labs that image by mass or cycle by cycle keep slides so. Channels are in the order of their names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import tifffile
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.slide.acquisition import Acquisition, channels
from wsi_tools.slide.folders import channel_files, is_channel_folder
from wsi_tools.slide.multiplex_tiff import refuse_dtype
from wsi_tools.slide.naming import stem
from wsi_tools.slide.pieces import PieceCache, read_planes
from wsi_tools.slide.reader import Facts, refuse_oversized, refuse_piece
from wsi_tools.slide.stack import stack_of
from wsi_tools.slide.tiff import DECODING_FAILURES, Survey, surveyed
from wsi_tools.slide.tiff_planes import tiff_plane

__all__ = ["ChannelFolderReader"]


class ChannelFolderReader:
    """The files of the channels shown, open; handles made from one another share the pieces."""

    failures: ClassVar[tuple[type[Exception], ...]] = DECODING_FAILURES

    def __init__(
        self, path: Path, shown: Sequence[int] | None = None, cache: PieceCache | None = None
    ) -> None:
        if not path.is_dir() or not is_channel_folder(path):
            raise SlideError("no folder of single-channel TIFFs; leave --reader at auto")
        self._path = path
        self._cache = cache or PieceCache()
        files = channel_files(path)
        self._shown = tuple(range(len(files)) if shown is None else shown)
        self._tiffs: list[Any] = []
        try:
            self._open(files)
        except DECODING_FAILURES:
            self.close()
            raise

    def _open(self, files: Sequence[Path]) -> None:
        self._tiffs = [tifffile.TiffFile(files[place]) for place in self._shown]
        surveys = [surveyed(tiff) for tiff in self._tiffs]
        _refuse(surveys, [files[place].name for place in self._shown])
        levels = [tiff.series[seen.series] for tiff, seen in zip(self._tiffs, surveys, strict=True)]
        self._planes = [
            _plane(level, source, tiff)
            for level, source, tiff in zip(levels, self._shown, self._tiffs, strict=True)
        ]
        self.facts = _facts(files, surveys[0], self._shown)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Decode a rectangle inside the planes: (height, width, channels).

        Raises:
            SlideError: a plane cannot be decoded there; with the channel's name.
        """
        del level  # there is one
        return read_planes(self._planes, self.facts.channels, (x, y, width, height), self._cache)

    def only(self, channels: Sequence[int]) -> "ChannelFolderReader":
        """Open the files of these of the channels shown once more."""
        shown = tuple(self._shown[place] for place in channels)
        return ChannelFolderReader(self._path, shown, self._cache)

    def reopen(self) -> "ChannelFolderReader":
        """Open the files once more, for the same channels."""
        return ChannelFolderReader(self._path, self._shown, self._cache)

    def close(self) -> None:
        """Close the files."""
        for tiff in self._tiffs:
            tiff.close()


def _facts(files: Sequence[Path], seen: Survey, shown: Sequence[int]) -> Facts:
    told = Acquisition("channel-folder", names=tuple(stem(each) for each in files))
    every = channels(told, len(files), seen.dtype)
    return Facts(
        vendor=told.vendor,
        sizes=seen.sizes[:1],
        layout=seen.layout,
        resolutions=seen.resolutions,
        channels=tuple(every[place] for place in shown),
        multiplex=True,
        warnings=(f"a folder of {len(files)} single-channel files, read as one slide",),
    )


def _plane(level: Any, source: int, tiff: Any) -> Any:
    try:
        return tiff_plane(level, stack_of(level), 0, source)
    except SlideError as error:
        raise SlideError(f"channel {stem(Path(tiff.filename))}: {error}") from None


def _refuse(surveys: Sequence[Survey], names: Sequence[str]) -> None:
    first = surveys[0]
    for seen, name in zip(surveys, names, strict=True):
        if (seen.sizes[0], seen.dtype) != (first.sizes[0], first.dtype):
            raise SlideError(
                f"planes of one slide are alike, but {names[0]} is {_alike(first)} and {name} is "
                f"{_alike(seen)}; name the files one by one if they are no channels"
            )
    refuse_dtype(first.dtype)
    refuse_oversized(first.sizes[0])
    refuse_piece(first.piece_px, "tile or strip")


def _alike(seen: Survey) -> str:
    width, height = seen.sizes[0]
    return f"{width} × {height} of {seen.dtype}"
