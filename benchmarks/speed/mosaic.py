"""A slide as a mosaic of a few hundred tiles: each is compressed once and laid many times."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from speed.sizes import Scan
from speed.texture import Tiles, glass, tissue

__all__ = ["Mosaic", "compose"]

COVER = 0.36  # of the slide that is tissue
MARGIN = 0.06  # of a side that stays glass
WAVES = ((160, 1.0), (60, 0.5), (20, 0.22), (6, 0.08))  # in 64 px: outlines from lobes to notches
CELL_PX = 64
GLASS_KINDS, RIM_KINDS = 4, 8  # different tiles of glass, and of each way a rim crosses a tile


@dataclass(frozen=True)
class Mosaic:
    """Which of the distinct tiles lies where.

    Attributes:
        tiles: (K, px, px, 3), all that are distinct.
        kinds: (rows, columns) of 0…K-1.
        size_px: (width, height) of the slide; the mosaic may stand over.
        tissue_tiles: how many of the distinct tiles, the first ones, are nothing but tissue.
    """

    tiles: Tiles
    kinds: NDArray[np.intp]
    size_px: tuple[int, int]
    tissue_tiles: int

    @cached_property
    def px(self) -> int:
        """Side of a tile."""
        return self.tiles.shape[1]

    def reduced(self, factor: int) -> Tiles:
        """The distinct tiles, each side of them divided by a factor (exact area means)."""
        side = self.px // factor
        small = [cv2.resize(t, (side, side), interpolation=cv2.INTER_AREA) for t in self.tiles]
        return np.stack(small)

    def picture(self, factor: int) -> Tiles:
        """The whole slide reduced, (height, width, 3)."""
        return _joined(self.reduced(factor)[self.kinds])[
            : self.size_px[1] // factor, : self.size_px[0] // factor
        ]

    def tile_of_level(self, small: Tiles, row: int, column: int) -> Tiles:
        """A tile (px, px, 3) of the level whose distinct tiles were `reduced` to `small`."""
        factor = self.px // small.shape[1]
        rows, columns = (
            np.minimum(np.arange(first * factor, (first + 1) * factor), length - 1)
            for first, length in zip((row, column), self.kinds.shape, strict=True)
        )
        return _joined(small[self.kinds[np.ix_(rows, columns)]])


def _joined(tiles: Tiles) -> Tiles:
    """(rows, columns, h, w, 3) → (rows × h, columns × w, 3)."""
    rows, columns, height, width, colours = tiles.shape
    return tiles.swapaxes(1, 2).reshape(rows * height, columns * width, colours)


def compose(scan: Scan, distinct: int, rng: np.random.Generator, source: Path | None) -> Mosaic:
    """Lay tissue, glass, and the rims between them where a smooth random outline wants them."""
    px = scan.tile_px
    inside = tissue(distinct, px, rng, source)
    outside = glass(GLASS_KINDS, px, rng)
    rims = [_rim(corners, inside, outside, rng) for corners in product((0, 1), repeat=4)]
    columns, rows = (-(-side // px) for side in scan.size_px)
    corners = _outline(rows + 1, columns + 1, px, rng)
    way = corners[:-1, :-1] * 8 + corners[:-1, 1:] * 4 + corners[1:, :-1] * 2 + corners[1:, 1:]
    drawn = rng.integers(0, 1 << 30, (rows, columns))
    kinds = distinct + GLASS_KINDS + way * RIM_KINDS + drawn % RIM_KINDS
    kinds = np.where(way == 15, drawn % distinct, kinds)
    kinds = np.where(way == 0, distinct + drawn % GLASS_KINDS, kinds)
    return Mosaic(np.concatenate([inside, outside, *rims]), kinds, scan.size_px, distinct)


def _outline(rows: int, columns: int, px: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which corners of the tiles lie in tissue: the upper part of smooth noise, as 0 and 1."""
    height = np.zeros((rows, columns), np.float32)
    for cells, amplitude in WAVES:
        step = max(1.0, cells * CELL_PX / px)
        coarse = [int(length / step) + 3 for length in (rows, columns)]
        noise = rng.standard_normal(coarse).astype(np.float32)
        height += amplitude * cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:rows, 0:columns]
    nearest = np.minimum.reduce([y, x, rows - 1 - y, columns - 1 - x])
    height[nearest < MARGIN * min(rows, columns)] = -np.inf
    return (height > np.quantile(height, 1 - COVER)).astype(np.intp)


def _rim(
    corners: tuple[int, ...], inside: Tiles, outside: Tiles, rng: np.random.Generator
) -> Tiles:
    """Tiles (RIM_KINDS, px, px, 3) that are tissue near some corners and glass near the others."""
    px = inside.shape[1]
    signs = np.array(corners, np.float32).reshape(2, 2) * 2 - 1
    blended = cv2.resize(signs, (px, px), interpolation=cv2.INTER_LINEAR)
    drawn = [tiles[rng.integers(0, len(tiles), RIM_KINDS)] for tiles in (inside, outside)]
    return np.where((blended > 0)[..., None], *drawn)
