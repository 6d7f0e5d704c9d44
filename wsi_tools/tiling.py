"""Tiles of an exact physical size: one lattice over a slide, and how much of each is tissue."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import InputError
from wsi_tools.slide import SlideInfo
from wsi_tools.slide.geometry import LevelChoice, best_level, to_level
from wsi_tools.tissue import Coverage, TissueMask

__all__ = ["TileGrid", "TileSpec", "tile"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Pair = tuple[float, float]

BLOCK_TILES = 1_000_000  # tiles measured at once: 32 MB of corners, whatever the slide's size
NO_TISSUE = float(np.finfo(np.float32).eps)  # below it a fraction is the rounding of its sums


@dataclass(frozen=True)
class TileSpec:
    """The tiles that are wanted; what a slide has to offer is another matter (`TileGrid`).

    Attributes:
        px: side of a tile in pixels at `mpp`.
        mpp: target µm per pixel.
        overlap: pixels at `mpp` that a tile shares with the next.
        min_tissue: least fraction of tissue for a tile to be used; all tiles with any are kept.
        mpp_tolerance: relative difference from `mpp` within which a level is used unresampled.
        allow_upsample: take a slide that is coarser than `mpp`.
    """

    px: int = 256
    mpp: float = 0.5
    overlap: int = 0
    min_tissue: float = 0.1
    mpp_tolerance: float = 0.001
    allow_upsample: bool = False

    def __post_init__(self) -> None:
        if self.px < 1:
            raise InputError(f"--tile-size {self.px} is no size; try --tile-size 256")
        if not (isfinite(self.mpp) and self.mpp > 0):
            raise InputError(f"--mpp {self.mpp:g} is no resolution; try --mpp 0.5")
        if not 0 <= self.overlap < self.px:
            raise InputError(f"--overlap {self.overlap} does not fit in tiles of {self.px} px")
        if not 0 <= self.min_tissue <= 1:
            raise InputError(f"--min-tissue {self.min_tissue:g} is no fraction; try 0.1")
        if not 0 <= self.mpp_tolerance < 1:
            raise InputError(f"--mpp-tolerance {self.mpp_tolerance:g} is no fraction; try 0.001")

    @property
    def key(self) -> str:
        """The name of the grid in a store; `min_tissue` only filters it."""
        return f"mpp{self.mpp!r}-px{self.px}-ov{self.overlap}"


@dataclass(frozen=True, eq=False)
class TileGrid:
    """The tiles of one slide that hold tissue; row i is tile i for ever after, row-major.

    Attributes:
        spec: what was asked for.
        xy: (N, 2) int32, top left corners, level-0 pixels.
        index: (N, 2) int32, (row, column) on the slide's one lattice.
        tissue: (N,) float32, fraction of the tile that is tissue; outside the slide there is none.
        level: the level to read.
        read_px: (x, y) sides of a tile in pixels of that level.
        mpp: (x, y) µm per pixel of a tile, as it will be.
        resampled: whether the level's pixels are resampled; False where they are the tile's.
        level0_px: (x, y) sides of a tile in level-0 pixels, not rounded.
        step: (x, y) from tile to tile in level-0 pixels, not rounded.
        anchor: (x, y) of the lattice's origin, the corner of the slide's bounds.
    """

    spec: TileSpec
    xy: Ints
    index: Ints
    tissue: NDArray[np.float32]
    level: int
    read_px: Pair
    mpp: Pair
    resampled: bool
    level0_px: Pair
    step: Pair
    anchor: tuple[int, int]

    def __len__(self) -> int:
        return len(self.xy)

    def box(self, tile: int) -> tuple[float, float, float, float]:
        """Give the (x, y, width, height) that tile samples, in level-0 pixels.

        The corner is the stored whole number, so that `xy` alone leads back to the pixels; the
        sides are never rounded.
        """
        x, y = self.xy[tile]
        return float(x), float(y), *self.level0_px


def tile(info: SlideInfo, tissue: TissueMask, spec: TileSpec) -> TileGrid:
    """Lay the lattice over a slide's bounds and keep every tile that holds tissue.

    Tile (row, column) starts at the anchor plus its index times the step, rounded once to a whole
    level-0 pixel. Tiles over the edge are kept. A slide without tissue gives an empty grid.

    Raises:
        SlideError: no resolution is known, or the target is finer than the slide.
        InputError: the overlap leaves less than a level-0 pixel from tile to tile.
    """
    choice = best_level(
        info.levels,
        info.mpp,
        spec.mpp,
        tolerance=spec.mpp_tolerance,
        allow_upsample=spec.allow_upsample,
        name=info.path.name,
    )
    level0_px = _level0_px(info, choice, spec)
    part = (spec.px - spec.overlap) / spec.px
    step = (level0_px[0] * part, level0_px[1] * part)
    if min(step) < 1:
        raise InputError(f"{info.path.name}: tiles would start within one pixel; lower --overlap")
    xy, index, fraction = _with_tissue(info, tissue, level0_px, step)
    return TileGrid(
        spec=spec,
        xy=xy,
        index=index,
        tissue=fraction,
        level=choice.level,
        read_px=to_level(level0_px, info.levels[choice.level].downsample),
        mpp=choice.mpp if choice.native else (spec.mpp, spec.mpp),
        resampled=not choice.native,
        level0_px=level0_px,
        step=step,
        anchor=(info.bounds.x, info.bounds.y),
    )


def _level0_px(info: SlideInfo, choice: LevelChoice, spec: TileSpec) -> Pair:
    """The sides of a tile: as many whole pixels of a native level, or just so many microns."""
    if choice.native:
        side = spec.px * info.levels[choice.level].downsample
        return side, side
    return spec.px * spec.mpp / info.mpp[0], spec.px * spec.mpp / info.mpp[1]


def _with_tissue(
    info: SlideInfo, tissue: TissueMask, side: Pair, step: Pair
) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """Give xy, index and fraction of the tiles with tissue, a band of rows at a time."""
    x = _starts(info.bounds.x, info.bounds.width, step[0])
    y = _starts(info.bounds.y, info.bounds.height, step[1])
    coverage = Coverage(tissue.mask, tissue.scale)
    found = []
    for rows in _bands(len(y), len(x)):
        part = coverage.fractions(_spans(x, side[0]), _spans(y[rows], side[1]))  # (rows, columns)
        row, column = np.nonzero(part > NO_TISSUE)
        found.append((row + rows.start, column, part[row, column]))
    row, column, fraction = (np.concatenate(each) for each in zip(*found, strict=True))
    xy = np.stack([x[column], y[row]], axis=1)
    index = np.stack([row, column], axis=1)
    return xy.astype(np.int32), index.astype(np.int32), fraction.astype(np.float32)


def _starts(origin: int, length: int, step: float) -> Floats:
    """Give the whole-numbered starts of the tiles that begin within `length` of the origin."""
    starts: Floats = origin + np.rint(np.arange(ceil(length / step)) * step)
    return starts


def _spans(starts: Floats, side: float) -> Floats:
    """Give (n, 2) edges."""
    return np.stack([starts, starts + side], axis=1)


def _bands(rows: int, columns: int) -> Iterator[slice]:
    height = max(1, BLOCK_TILES // columns)
    return (slice(first, first + height) for first in range(0, rows, height))
