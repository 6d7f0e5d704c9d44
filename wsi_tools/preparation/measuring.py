"""The values that a slide's markers have on its tissue, from a sample of its tiles."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.channels import MatchedPanel, without_background
from wsi_tools.errors import SlideError
from wsi_tools.slide import Slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.tiling import TileGrid
from wsi_tools.tissue import TissueMask

__all__ = ["tissue_values"]

TILES = 64
PIXELS = 8_192  # of a tile; half a million in all: of 40 markers 84 MB

Values = NDArray[np.float32]


def tissue_values(
    slide: Slide, grid: TileGrid, tissue: TissueMask, matched: MatchedPanel
) -> Values:
    """Read markers on tissue, backgrounds subtracted: ``(n, M)``, of at most 64 × 8192 pixels.

    The tiles are spread evenly over the grid, and pixels over the tissue of each; tiles that
    cannot be read are passed over.

    Args:
        slide: open, with all its channels.
        grid: whose tiles are sampled, at its resolution.
        tissue: where pixels count.
        matched: the markers.

    Raises:
        SlideError: the slide cannot be opened again.
    """
    rows = np.linspace(0, len(grid) - 1, min(TILES, len(grid))).round().astype(np.intp)
    with slide.only(matched.channels) as shown:
        parts = [without_background(each, matched) for each in _sampled(shown, grid, tissue, rows)]
    return np.concatenate([np.zeros((0, len(matched.markers)), np.float32), *parts])


def _sampled(
    slide: Slide, grid: TileGrid, tissue: TissueMask, rows: NDArray[np.intp]
) -> Iterator[NDArray[Any]]:
    """The pixels of tissue of some tiles, ``(n, C)`` each."""
    px = grid.spec.px
    for row in rows:
        with suppress(SlideError):  # embedding counts those, and says so
            pixels = read_box(slide, grid.box(row), (px, px), grid.level)
            found = pixels[_on_tissue(grid.box(row), px, tissue)]
            yield found[:: max(1, -(-len(found) // PIXELS))]


def _on_tissue(
    box: tuple[float, float, float, float], px: int, tissue: TissueMask
) -> NDArray[np.bool_]:
    """Which pixels of a tile have their centre on tissue, ``(px, px)``."""
    x, y = (
        np.floor((start + (np.arange(px) + 0.5) * length / px) / scale).astype(int)
        for start, length, scale in zip(box[:2], box[2:], tissue.scale, strict=True)
    )
    height, width = tissue.mask.shape
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    there = tissue.mask[np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)]
    on_tissue: NDArray[np.bool_] = inside & (there == 1)
    return on_tissue
