"""Stores for the rows: of a slide that is there, and of features that nobody computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.slide import Bounds, Layout, Level, Resolution, SlideInfo
from wsi_tools.store import Project, StoreWriter, lease
from wsi_tools.store.layout import CHUNK_ROWS
from wsi_tools.tiling import TileGrid, TileSpec
from wsi_tools.tissue import TissueMask

__all__ = ["FEATURES", "KEY", "begun", "features_of", "request", "write_features"]

KEY = TileSpec().key
FEATURES = "numbers"
SIDE = 1024  # tiles per row of the lattice


def request(name: str) -> dict[str, Any]:
    """What the features of all slides have in common."""
    return {"backbone": name, "dtype": "float16", "min_tissue": 0.1, "weights": "none"}


@contextmanager
def begun(
    project: Project, slide_id: str, slide: SlideInfo, grid: TileGrid
) -> Iterator[StoreWriter]:
    """A store with tissue and this grid, held by its one writer."""
    with lease(project.leases, slide_id) as held:
        writer = StoreWriter(project.store(slide_id), held, command={"verb": "benchmark"})
        writer.claim(slide)
        writer.write_tissue(_everywhere(slide.size), {"options": {}})
        writer.write_grid(grid.spec.key, grid, {"tiles": len(grid)})
        yield writer


def write_features(project: Project, slide_id: str, values: NDArray[np.float16]) -> None:
    """The store of a slide that nobody scanned, with these features ``(N, D)``."""
    with begun(project, slide_id, _slide(slide_id), _grid(len(values))) as writer:
        column = writer.features(KEY, FEATURES, request(FEATURES))
        column.open(values.shape, "float16")
        for first in range(0, len(values), CHUNK_ROWS):
            column.append(first, values[first : first + CHUNK_ROWS])
        column.commit({})


def features_of(store: Path) -> Path:
    """The folder of those features."""
    return store / "grids" / KEY / "features" / FEATURES


def _slide(slide_id: str) -> SlideInfo:
    spec, side = TileSpec(), SIDE * TileSpec().px
    mpp = Resolution("made up", spec.mpp, spec.mpp)
    return SlideInfo(
        path=Path(f"{slide_id}.svs"),
        reader="openslide",
        vendor="made up",
        levels=(Level((side, side), 1.0),),
        resolutions=(mpp,),
        resolution=mpp,
        bounds=Bounds(0, 0, side, side),
        channels=(),
        layout=Layout(None, "none"),
        objective_power=None,
        tried=(),
        warnings=(),
        fingerprint=f"made up {slide_id}",
    )


def _grid(tiles: int) -> TileGrid:
    spec, steps = TileSpec(), np.arange(tiles)
    index = np.stack([steps // SIDE, steps % SIDE], axis=1).astype(np.int32)
    side = (float(spec.px), float(spec.px))
    return TileGrid(
        spec=spec,
        xy=index[:, ::-1] * np.int32(spec.px),
        index=index,
        tissue=np.ones(tiles, np.float32),
        level=0,
        read_px=side,
        mpp=(spec.mpp, spec.mpp),
        resampled=False,
        level0_px=side,
        step=side,
        anchor=(0, 0),
    )


def _everywhere(size: tuple[int, int]) -> TissueMask:
    return replace(_ONE_PIXEL, outlines=shapely.MultiPolygon([shapely.box(0, 0, *size)]))


_ONE_PIXEL = TissueMask(
    outlines=shapely.MultiPolygon(),
    mask=np.ones((1, 1), np.uint8),
    scale=(1.0, 1.0),
    thumbnail=np.full((1, 1, 3), 220, np.uint8),
    method="none",
    parameters={},
)
