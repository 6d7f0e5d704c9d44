"""A number per tile, laid on a raster: exact to the tile, averaged where tiles overlap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.frame import Frame
from wsi_tools.tiling import TileGrid

__all__ = ["HeatField", "heat_field"]

Floats = NDArray[np.float64]

LEAST_COVER = 1e-6  # of a pixel; less is the rounding of its edges


@dataclass(frozen=True, eq=False)
class HeatField:
    """Heat over a frame.

    Attributes:
        values: float32 (h, w); NaN where no tile with a number lies.
        cover: float32 (h, w) in 0 to 1, the share of a pixel under such tiles.
        frame: where it lies.
    """

    values: NDArray[np.float32]
    cover: NDArray[np.float32]
    frame: Frame


def heat_field(grid: TileGrid, values: NDArray[np.floating], frame: Frame) -> HeatField:
    """Lay the tiles' numbers on a raster.

    A pixel is the mean of the tiles over it, each weighted by the area they share. Tile by pixel
    overlaps are products of an overlap along x and one along y, so that two small matrix products
    do it for any number of tiles.

    Args:
        grid: the tiles.
        values: ``(N,)``, NaN for tiles that have none.
        frame: the raster and its place.
    """
    x, column = np.unique(grid.xy[:, 0], return_inverse=True)
    y, row = np.unique(grid.xy[:, 1], return_inverse=True)
    known = np.isfinite(values)
    heat, here = np.zeros((2, len(y), len(x)))
    heat[row[known], column[known]] = values[known]
    here[row[known], column[known]] = 1.0
    (left, top, *_), (wide, high), size = frame.box, frame.scale, frame.size_px
    side = grid.level0_px
    across = _overlaps(x.astype(np.float64) - left, side[0], wide, size[0])  # (w, columns)
    down = _overlaps(y.astype(np.float64) - top, side[1], high, size[1])  # (h, rows)
    weight = down @ here @ across.T  # (h, w), tiles over a pixel
    shared = weight > LEAST_COVER
    mean = np.full(weight.shape, np.nan)
    mean[shared] = (down @ heat @ across.T)[shared] / weight[shared]
    cover = np.minimum(weight, 1.0)
    return HeatField(mean.astype(np.float32), cover.astype(np.float32), frame)


def _overlaps(starts: Floats, length: float, step: float, count: int) -> Floats:
    """Give (pixels, tiles), the share of each pixel of `step` that each tile covers.

    Tiles begin at whole level-0 pixels: the gap that this rounding leaves between two is closed.
    """
    pixels = np.arange(count)[:, None] * step
    ends = starts + length
    gaps = starts[1:] - ends[:-1]
    ends[:-1] += np.where(gaps <= 1, np.maximum(gaps, 0), 0)
    shared = np.minimum(ends, pixels + step) - np.maximum(starts, pixels)
    return np.asarray(np.clip(shared, 0.0, None) / step)
