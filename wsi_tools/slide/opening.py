"""From a path to an open slide: who reads it, and what every reader's pixels have in common.

The rule of `auto`: the readers are asked in an order that the file's own tags decide, and the first
that opens the file *and decodes a pixel of its first and of its last level* reads it.

* multi-channel TIFF: ome alone (OpenSlide would show its first channel as brightfield)
* fluorescence NDPI: fluorescent-ndpi alone; a folder: ome-zarr or channel-folder alone
* OME-TIFF: tiff, tiffslide, openslide, image (OpenSlide sees no pyramid below its first picture)
* TIFF in tiles: tiff, openslide, tiffslide, image
* TIFF without tiles: openslide, image, tiffslide (a strip is decoded whole: once is enough)
* everything else: openslide, tiffslide, image

Readers that plug-ins add are asked last, in the order of their names. The reader that won is
recorded in the slide's info with every reason why another did not, and is never changed afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import InputError, SlideError
from wsi_tools.slide import READERS
from wsi_tools.slide.fingerprint import fingerprint
from wsi_tools.slide.folders import is_ome_zarr, is_slide_folder
from wsi_tools.slide.geometry import pyramid
from wsi_tools.slide.info import Bounds, Channel, Level, Resolution, SlideInfo
from wsi_tools.slide.reader import Facts, MultiplexReader, Reader, ShrinkingReader
from wsi_tools.slide.resolution import conflicts, ranked, winner
from wsi_tools.slide.tiff import is_multiplex, survey_if_tiff

__all__ = ["OpenedSlide", "auto_order", "open_with"]

Pixels = NDArray[np.uint8]
Tried = tuple[tuple[str, str], ...]

BRIGHTFIELD = ("openslide", "tiffslide", "image")
TILED = ("tiff", *BRIGHTFIELD)
MULTIPLEX = ("ome", "ome-zarr", "channel-folder", "fluorescent-ndpi")
WHITE = 255
LONGEST_REASON = 200  # characters; some decoders quote half the file


@dataclass(frozen=True)
class StatedMpp:
    """What the caller says of the pixel size, in µm/px; None where nothing is said.

    Raises:
        InputError: a value is outside 0.05 to 5 µm.
    """

    manifest: float | None = None
    override: float | None = None
    fallback: float | None = None

    def __post_init__(self) -> None:
        self.ranked_with(())

    def ranked_with(self, file: Sequence[Resolution]) -> tuple[Resolution, ...]:
        """Every statement about the pixel size, the file's among them, the strongest first."""
        return ranked(file, self.manifest, self.override, self.fallback)


class OpenedSlide:
    """A slide through one of the readers; see `wsi_tools.slide.Slide`."""

    def __init__(self, info: SlideInfo, reader: Reader) -> None:
        self.info = info
        self._reader: Reader | None = reader

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Read a rectangle in pixels of the level; see `wsi_tools.slide.Slide.read`.

        Raises:
            SlideError: the pixels cannot be decoded, or the slide was closed.
        """
        columns, rows = self.info.levels[level].size
        left, right = max(x, 0), min(x + width, columns)
        top, bottom = max(y, 0), min(y + height, rows)
        if (left, top, right, bottom) == (x, y, x + width, y + height):
            return self._decoded(x, y, width, height, level)
        canvas = self._blank(width, height)
        if left < right and top < bottom:
            inside = self._decoded(left, top, right - left, bottom - top, level)
            canvas[top - y : bottom - y, left - x : right - x] = inside
        return canvas

    def only(self, channels: Sequence[int]) -> "OpenedSlide":
        """Give a fresh handle that shows these channels; see `wsi_tools.slide.Slide.only`."""
        shown = tuple(_channel(self.info, place) for place in channels)
        reader = self._opened()
        if not isinstance(reader, MultiplexReader):
            raise InputError(
                f"{self.info.path.name}: {self.info.reader} reads all channels or none"
            )
        return self._again(
            reader, lambda: reader.only(channels), replace(self.info, channels=shown)
        )

    def shrinks(self, factor: int) -> bool:
        """Whether `shrunk` can be had; see `wsi_tools.slide.Slide.shrunk`."""
        reader = self._opened()
        return isinstance(reader, ShrinkingReader) and reader.shrinks(factor)

    def shrunk(self, factor: int) -> "OpenedSlide":
        """Give a fresh handle that decodes less; see `wsi_tools.slide.Slide.shrunk`."""
        reader = self._opened()
        if not (isinstance(reader, ShrinkingReader) and reader.shrinks(factor)):
            raise InputError(f"{self.info.path.name}: is not of JPEG tiles decoded at 1/{factor}")
        levels = tuple(
            Level(
                (-(-level.size[0] // factor), -(-level.size[1] // factor)),
                level.downsample * factor,
            )
            for level in self.info.levels
        )
        return self._again(reader, lambda: reader.shrunk(factor), replace(self.info, levels=levels))

    def reopen(self) -> "OpenedSlide":
        """Give a fresh handle on the same file, through the same reader."""
        reader = self._opened()
        return self._again(reader, reader.reopen, self.info)

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _again(
        self, reader: Reader, opened: Callable[[], Reader], info: SlideInfo
    ) -> "OpenedSlide":
        try:
            return OpenedSlide(info, opened())
        except reader.failures as error:
            raise SlideError(
                f"{self.info.path.name}: {self.info.reader} cannot open it again "
                f"({one_line(error, self.info.path)}); has the file changed?"
            ) from error

    def _blank(self, width: int, height: int) -> NDArray[Any]:
        if not self.info.multiplex:
            return np.full((height, width, 3), WHITE, np.uint8)
        channels = self.info.channels
        planes = np.zeros((len(channels), height, width), channels[0].dtype)
        return planes.transpose(1, 2, 0)  # as readers give them: each plane in one piece

    def _decoded(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        reader = self._opened()
        try:
            pixels = reader.read(x, y, width, height, level)
            return pixels if self.info.multiplex else on_white(pixels)
        except reader.failures as error:
            raise SlideError(
                f"{self.info.path.name}: {self.info.reader} cannot decode {width} × {height} "
                f"pixels at ({x}, {y}) of level {level} ({one_line(error, self.info.path)}); "
                "the file is damaged there, or was changed while it was read"
            ) from error

    def _opened(self) -> Reader:
        if self._reader is None:
            raise SlideError(f"{self.info.path.name}: read after it was closed; open it again")
        return self._reader


def open_with(path: Path, *, reader: str, stated: StatedMpp) -> OpenedSlide:
    """Open a slide; see `wsi_tools.slide.open_slide`."""
    if not (path.is_file() or is_slide_folder(path)):
        raise SlideError(f"{path.name}: there is no such file; check the path")
    tried: Tried = ()
    for name in auto_order(path) if reader == "auto" else (reader,):
        kind: type[Reader] = READERS[name]
        try:
            return _probed(path, name, kind(path), stated, tried)
        except kind.failures as error:
            tried = (*tried, (name, one_line(error, path)))
    raise SlideError(
        f"{path.name}: no reader could open it ({_grouped(tried)}); "
        "check that the file is whole and of a format that `wsitools info` reads"
    )


def auto_order(path: Path) -> tuple[str, ...]:
    """The readers in the order in which `auto` asks them for this file."""
    tiff = None if path.is_dir() else survey_if_tiff(path)
    first: tuple[str, ...] = BRIGHTFIELD
    if path.is_dir():
        first = ("ome-zarr",) if is_ome_zarr(path) else ("channel-folder",)
    elif tiff is not None and tiff.fluorescence:
        first = ("fluorescent-ndpi",)
    elif tiff is not None and is_multiplex(tiff):
        first = ("ome",)
    elif tiff is not None and tiff.is_ome:
        first = ("tiff", "tiffslide", "openslide", "image")
    elif tiff is not None:
        first = TILED if tiff.layout.tile_px else ("openslide", "image", "tiffslide")
    return (*first, *sorted(set(READERS) - {*TILED, *MULTIPLEX}))


def on_white(pixels: Pixels) -> Pixels:
    """Lay straight alpha over white: (h, w, 4) becomes (h, w, 3), contiguous and writable."""
    if pixels.shape[2] == 3:
        return np.require(pixels, requirements=["C", "W"])  # a reader may give a frozen view
    if pixels[..., 3].min(initial=WHITE) == WHITE:
        opaque: Pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)  # ten times numpy's strided copy
        return opaque
    colour, alpha = pixels[..., :3], pixels[..., 3:].astype(np.uint16)
    blended = colour * alpha + WHITE * (WHITE - alpha)  # at most 255², which uint16 holds
    return ((blended + WHITE // 2) // WHITE).astype(np.uint8)


def one_line(error: Exception, path: Path) -> str:
    """What an error says, in one line without the folder the file lies in."""
    text = " ".join(str(error).replace(str(path), path.name).split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _probed(path: Path, name: str, reader: Reader, stated: StatedMpp, tried: Tried) -> OpenedSlide:
    """Make a slide of an open reader, if one pixel of its first and last level can be decoded."""
    try:
        info = _info(path, name, reader.facts, stated, tried)
        for level in {0, len(info.levels) - 1}:
            scale = info.levels[level].downsample
            columns, rows = info.levels[level].size
            x = int((info.bounds.x + info.bounds.width / 2) / scale)
            y = int((info.bounds.y + info.bounds.height / 2) / scale)
            reader.read(min(x, columns - 1), min(y, rows - 1), 1, 1, level)
    except reader.failures:
        reader.close()
        raise
    return OpenedSlide(info, reader)


def _info(path: Path, name: str, facts: Facts, stated: StatedMpp, tried: Tried) -> SlideInfo:
    levels = pyramid(facts.sizes)
    candidates = stated.ranked_with(facts.resolutions)
    return SlideInfo(
        path=path,
        reader=name,
        vendor=facts.vendor,
        levels=levels,
        resolutions=candidates,
        resolution=winner(candidates),
        bounds=facts.bounds or Bounds(0, 0, *facts.sizes[0]),
        channels=facts.channels,
        layout=facts.layout,
        objective_power=facts.objective_power,
        tried=tried,
        warnings=(*facts.warnings, *conflicts(candidates), *_left_out(facts, len(levels))),
        fingerprint=fingerprint(path),
        multiplex=facts.multiplex,
    )


def _channel(info: SlideInfo, place: int) -> Channel:
    if not info.multiplex:
        raise InputError(f"{info.path.name}: brightfield; only multiplex slides' channels part")
    if not 0 <= place < len(info.channels):
        raise InputError(f"{info.path.name}: no channel {place}; it has {len(info.channels)}")
    return info.channels[place]


def _left_out(facts: Facts, kept: int) -> tuple[str, ...]:
    if kept == len(facts.sizes):
        return ()
    width, height = facts.sizes[kept]
    return (
        f"levels from {kept} on are left out: {width} × {height} is no reduction of "
        f"{facts.sizes[0][0]} × {facts.sizes[0][1]}",
    )


def _grouped(tried: Tried) -> str:
    """Join readers that gave the same reason: "openslide, image: not a TIFF; tiffslide: ..."."""
    reasons = dict.fromkeys(reason for _, reason in tried)
    return "; ".join(
        f"{', '.join(name for name, said in tried if said == reason)}: {reason}"
        for reason in reasons
    )
