"""What preparation would do to one slide, found out without writing anything."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from wsi_tools.embedding.cards import find_card
from wsi_tools.errors import UnavailableError, WeightsError
from wsi_tools.preparation.requests import Embedding, Segmenting, Task, Tiling
from wsi_tools.slide import Slide
from wsi_tools.store import FeatureStore
from wsi_tools.tiling import TileGrid, TileSpec, tile
from wsi_tools.tissue import TissueMask


@dataclass(frozen=True)
class Forecast:
    """What a run would find and make.

    Attributes:
        there: what the store has already.
        level: the level that tiles would be read from; `resampled` unless its pixels are theirs.
        bytes: of features, uncompressed as they are stored; None where a width is not known yet.
        missing: why weights could not be had.
    """

    slide_id: str
    store: str
    there: tuple[str, ...]
    tissue_mm2: float
    grid: str | None = None
    tiles: int | None = None
    tiles_with_tissue: int | None = None
    level: int | None = None
    resampled: bool | None = None
    bytes: int | None = None
    missing: tuple[str, ...] = ()


def forecast(
    slide: Slide,
    task: Task,
    segmenting: Segmenting | None,
    tiling: Tiling | None,
    embedding: Embedding | None,
    *,
    until: str,
) -> Forecast:
    """Foresee one slide: its tissue and tiles are found in memory where the store lacks them."""
    store = FeatureStore(task.store) if (task.store / "zarr.json").exists() else None
    tissue = _tissue(slide, task, store, segmenting)
    mpp_x, mpp_y = slide.info.mpp
    area = round(tissue.outlines.area * mpp_x * mpp_y / 1e6, 4)
    seen = Forecast(task.slide_id, str(task.store), _there(store), area)
    if until == "segment":
        return seen
    key, grid = _grid(slide, tissue, store, tiling, embedding)
    return replace(
        seen,
        grid=key,
        tiles=len(grid),
        tiles_with_tissue=int(np.count_nonzero(grid.tissue >= grid.spec.min_tissue)),
        level=grid.level,
        resampled=grid.resampled,
        bytes=_bytes(grid, embedding),
        missing=tuple(_missing(embedding)),
    )


def _tissue(
    slide: Slide, task: Task, store: FeatureStore | None, asked: Segmenting | None
) -> TissueMask:
    if store is not None and store.has_tissue and asked is None:
        return store.tissue()
    return (asked or Segmenting()).tissue(slide, task.slide_id)


def _grid(
    slide: Slide,
    tissue: TissueMask,
    store: FeatureStore | None,
    tiling: Tiling | None,
    embedding: Embedding | None,
) -> tuple[str, TileGrid]:
    if store is not None and tiling is None and store.grid_keys():
        key = store.choose_grid(embedding.grid if embedding else None)
        return key, store.grid(key)
    spec = tiling.spec if tiling else TileSpec()
    return spec.key, tile(slide.info, tissue, spec)


def _there(store: FeatureStore | None) -> tuple[str, ...]:
    if store is None:
        return ()
    grids = (f"{key}/{name}" for key in store.grid_keys() for name in store.feature_names(key))
    return (*(("tissue",) if store.has_tissue else ()), *store.grid_keys(), *grids)


def _bytes(grid: TileGrid, embedding: Embedding | None) -> int | None:
    if embedding is None:
        return None
    widths = [find_card(name).width for name, _ in embedding.backbones]
    size = np.dtype(embedding.dtype).itemsize
    return None if None in widths else sum(len(grid) * size * (width or 0) for width in widths)


def _missing(embedding: Embedding | None) -> Iterator[str]:
    from wsi_tools.preparation.features import load_backbones

    if embedding is None:
        return
    for backbone in embedding.backbones:
        try:
            load_backbones(replace(embedding, backbones=(backbone,)))
        except (UnavailableError, WeightsError) as error:
            yield str(error)
