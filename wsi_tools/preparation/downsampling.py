"""Tiles of a coarser resolution straight from the JPEG, where grid and file allow."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from wsi_tools.preparation.views import ColourView
from wsi_tools.slide import Slide
from wsi_tools.slide.jpeg_tiles import SHRINKS
from wsi_tools.tiling import TileGrid

__all__ = ["FastView", "shrink_of"]

SNAP = 1e-6  # px of the level over a tile, as `read_box` takes whole pixels


class FastView(ColourView):
    """A brightfield slide whose tiles the decoder makes smaller, if it can; else it is as it is."""

    def __init__(self, slide: Slide, grid: TileGrid) -> None:
        super().__init__(slide)
        self._factor = shrink_of(slide, grid)
        self._is_exact = grid.resampled and self._factor == 1

    @contextmanager
    def shown(self) -> Iterator[Slide]:
        """The slide, its levels so many times smaller."""
        if self._factor == 1:
            yield self._slide
            return
        with self._slide.shrunk(self._factor) as shrunk:
            yield shrunk

    def words(self) -> Mapping[str, Any]:
        """That it was asked for."""
        return self.request()

    def request(self) -> Mapping[str, Any]:
        """That it was asked for: of a project's slides some may be as fine as their tiles."""
        return {"downsample": "dct"}

    def attributes(self) -> Mapping[str, Any]:
        """At which part of their size the JPEG tiles were decoded: 1 where it could not be done."""
        return {"decoded_at": 1 / self._factor}

    def warnings(self) -> tuple[str, ...]:
        """That the tiles are means of pixels all the same."""
        if not self._is_exact:
            return ()
        return (
            "--fast-downsample needs JPEG tiles and an --mpp of 2, 4 or 8 times a level's; exact "
            "area means instead",
        )


def shrink_of(slide: Slide, grid: TileGrid) -> int:
    """How many times smaller the decoder can make the level: 2, 4 or 8 if just so are the tiles.

    Otherwise 1. Every tile must begin on a whole pixel of the smaller picture.
    """
    factor = next((each for each in SHRINKS if _is_reduced_by(grid, each)), 1)
    cells = slide.info.levels[grid.level].downsample * factor  # level-0 pixels of a smaller one
    fits = factor > 1 and not np.any(grid.xy % cells) and slide.shrinks(factor)
    return factor if fits else 1


def _is_reduced_by(grid: TileGrid, factor: int) -> bool:
    return all(abs(side - factor * grid.spec.px) < SNAP for side in grid.read_px)
