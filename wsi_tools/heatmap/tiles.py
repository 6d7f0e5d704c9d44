"""The tiles with the highest and the lowest scores, and a contact sheet of their pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.lettering import FAINT, INK, Lettering
from wsi_tools.slide import Slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.tiling import TileGrid
from wsi_tools.tissue.fluorescence import brightest, grey, nuclear_channel

__all__ = ["Extremes", "contact_sheet", "extremes", "tile_pictures"]

Picture = NDArray[np.uint8]

SHOWN_PX = 160  # side of a tile on the sheet
GAP_PX = 12
MARGIN_PX = 24
LETTER_PX, LINE_PX = 14, 22
PAPER = 255


@dataclass(frozen=True, eq=False)
class Extremes:
    """Row numbers of tiles.

    Attributes:
        top: the highest scores, the highest first.
        bottom: the lowest, the lowest first; none of them is in `top`.
    """

    top: NDArray[np.intp]
    bottom: NDArray[np.intp]


def extremes(values: NDArray[np.float32], count: int) -> Extremes:
    """The `count` highest and lowest of ``(N,)`` scores; of equals, the first rows."""
    known = np.flatnonzero(np.isfinite(values))
    descending = known[np.argsort(-values[known], kind="stable")]
    ascending = known[np.argsort(values[known], kind="stable")]
    top = descending[:count]
    return Extremes(top, ascending[~np.isin(ascending, top)][:count])


def tile_pictures(slide: Slide, grid: TileGrid, rows: Sequence[int]) -> list[Picture]:
    """The pixels of tiles as a backbone reads them; uint8 (px, px, 3) each.

    Of a multiplex slide the nuclear channel is shown, or the brightest, in grey and with one white
    for all the tiles.

    Raises:
        SlideError: the pixels cannot be decoded.
    """
    if not slide.info.multiplex or not rows:
        return [each.astype(np.uint8, copy=False) for each in _read(slide, grid, rows)]
    channel = nuclear_channel(slide.info)
    if channel is None:
        planes = np.stack(_read(slide, grid, rows)).astype(np.float64)  # (tiles, px, px, C)
        return _in_grey(planes[..., brightest(planes)])
    with slide.only([channel]) as alone:
        return _in_grey(np.stack(_read(alone, grid, rows)).astype(np.float64)[..., 0])


def _read(slide: Slide, grid: TileGrid, rows: Sequence[int]) -> list[NDArray[np.generic]]:
    size = grid.spec.px, grid.spec.px
    return [read_box(slide, grid.box(row), size, grid.level) for row in rows]


def _in_grey(planes: NDArray[np.float64]) -> list[Picture]:
    """Tiles ``(tiles, px, px)`` of one channel, with one white for all."""
    return list(grey(planes.reshape(-1, planes.shape[-1])).reshape(*planes.shape, 3))


def contact_sheet(
    title: str, bands: Sequence[tuple[str, Sequence[Picture], Sequence[str]]]
) -> Picture:
    """Lay out tiles in bands, each under its name; uint8 (h, w, 3).

    Args:
        title: the first line.
        bands: name, pictures, and a line to stand under each.
    """
    columns = max(1, *(len(pictures) for _, pictures, _ in bands))
    width = 2 * MARGIN_PX + columns * (SHOWN_PX + GAP_PX) - GAP_PX
    height = MARGIN_PX + LINE_PX + len(bands) * BAND_PX + MARGIN_PX // 2
    page = np.full((height, max(width, LEAST_PX), 3), PAPER, np.uint8)
    tops = [MARGIN_PX + LINE_PX + number * BAND_PX for number in range(len(bands))]
    for top, (_, pictures, _) in zip(tops, bands, strict=True):
        for left, picture in zip(_lefts(len(pictures)), pictures, strict=True):
            inside = page[top + LINE_PX :, left:][:SHOWN_PX, :SHOWN_PX]
            inside[...] = cv2.resize(picture, (SHOWN_PX, SHOWN_PX), interpolation=cv2.INTER_AREA)
    return _labelled(page, title, bands, tops)


BAND_PX = SHOWN_PX + 2 * LINE_PX + GAP_PX
LEAST_PX = 560


def _lefts(count: int) -> list[int]:
    return [MARGIN_PX + place * (SHOWN_PX + GAP_PX) for place in range(count)]


def _labelled(
    page: Picture,
    title: str,
    bands: Sequence[tuple[str, Sequence[Picture], Sequence[str]]],
    tops: Sequence[int],
) -> Picture:
    lettering = Lettering(page, LETTER_PX)
    line = lettering.shortened(title, page.shape[1] - 2 * MARGIN_PX)
    lettering.write((MARGIN_PX, MARGIN_PX + LETTER_PX * 0.6), line)
    for top, (name, _, labels) in zip(tops, bands, strict=True):
        lettering.write((MARGIN_PX, top + LETTER_PX), name, colour=INK)
        for left, label in zip(_lefts(len(labels)), labels, strict=True):
            place = (left, top + LINE_PX + SHOWN_PX + LETTER_PX + 2)
            lettering.write(place, label, colour=FAINT)
    return lettering.picture
