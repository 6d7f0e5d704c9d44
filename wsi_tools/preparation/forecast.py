"""What preparation would do to one slide, found out without writing anything."""

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from wsi_tools.embedding.cards import find_card
from wsi_tools.errors import UnavailableError, WeightsError
from wsi_tools.preparation.features import Backbones, refuse_geometry
from wsi_tools.preparation.requests import Embedding, Task, Tiling
from wsi_tools.preparation.views import view_of
from wsi_tools.slide import Slide
from wsi_tools.store import FeatureStore
from wsi_tools.store.requests import Request, differs
from wsi_tools.tiling import TileGrid, tile
from wsi_tools.tissue import TissueMask

if TYPE_CHECKING:
    from wsi_tools.preparation import Preparation


@dataclass(frozen=True)
class Forecast:
    """What a run would find and make.

    Attributes:
        there: what the store has already.
        level: the level that tiles would be read from; `resampled` unless its pixels are theirs.
        bytes: of features, uncompressed as they are stored; None where a width is not known.
        missing: why weights are not on this machine.
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


@dataclass(frozen=True)
class Prospect:
    """A backbone before it is needed: the width of its features, and why it is not here."""

    width: int | None
    missing: str | None = None


def prospects(asked: Embedding) -> tuple[Prospect, ...]:
    """Try every backbone with what is on this machine: a dry run downloads nothing."""
    return tuple(_prospect(name, replace(asked, offline=True)) for name, _ in asked.backbones)


def _prospect(name: str, asked: Embedding) -> Prospect:
    try:
        return Prospect(Backbones(asked)[name].width)
    except (UnavailableError, WeightsError) as error:
        return Prospect(find_card(name).width, str(error))


class Outlook:
    """One slide before it is prepared: tissue and tiles are found in memory if the store has none.

    What the store has by another request raises `StoreError`, as it would in earnest.
    """

    def __init__(self, preparation: "Preparation", slide: Slide, task: Task) -> None:
        self._asked = preparation
        self._slide = slide
        self._task = task
        exists = (task.store / "zarr.json").exists()
        self._store = FeatureStore(task.store) if exists else None

    def ground(self) -> tuple[TissueMask, TileGrid]:
        """The tissue and the tiles that there would be."""
        tissue, request = self._tissue()
        return tissue, self._grid(tissue, request)[1]

    def forecast(self) -> Forecast:
        """Foresee the stages asked for."""
        tissue, request = self._tissue()
        mpp_x, mpp_y = self._slide.info.mpp
        area = round(tissue.outlines.area * mpp_x * mpp_y / 1e6, 4)
        seen = Forecast(self._task.slide_id, str(self._task.store), self._there(), area)
        if self._asked.until == "segment":
            return seen
        key, grid = self._grid(tissue, request)
        if self._asked.embedding:
            refuse_geometry(self._asked.embedding, grid.spec.mpp)
        enough = grid.tissue >= self._asked.least_tissue(grid)
        return replace(
            seen,
            grid=key,
            tiles=len(grid),
            tiles_with_tissue=int(np.count_nonzero(enough)),
            level=grid.level,
            resampled=grid.resampled,
            bytes=self._bytes(tissue, grid),
            missing=tuple(each.missing for each in self._asked.prospects if each.missing),
        )

    def _tissue(self) -> tuple[TissueMask, Request]:
        asked, slide_id = self._asked.segmenting, self._task.slide_id
        request = asked.request(self._slide.info, slide_id)
        if self._store and self._store.has_tissue:
            there = self._store.tissue_request()
            if not asked.insists or self._is_the_same("the tissue", request, there):
                return self._store.tissue(), there
        return asked.tissue(self._slide, slide_id), request

    def _grid(self, tissue: TissueMask, tissue_request: Request) -> tuple[str, TileGrid]:
        embedding, store = self._asked.embedding, self._store
        named = embedding.grid if embedding else None
        if store and self._asked.tiling is None and (named or store.grid_keys()):
            key = store.choose_grid(named)
            return key, store.grid(key)
        tiling = self._asked.tiling or Tiling()
        key = tiling.spec.key
        if store and key in store.grid_keys():
            request = tiling.request(self._slide.info, tissue_request)
            if self._is_the_same(f"the grid {key}", request, store.grid_attributes(key)["request"]):
                return key, store.grid(key)
        return key, tile(self._slide.info, tissue, tiling.spec)

    def _is_the_same(self, what: str, asked: Request, found: Request) -> bool:
        overwrite = self._asked.overwrite
        return not differs(asked, found, self._task.store, what, overwrite=overwrite)

    def _there(self) -> tuple[str, ...]:
        store = self._store
        if store is None:
            return ()
        grids = (f"{key}/{name}" for key in store.grid_keys() for name in store.feature_names(key))
        return (*(("tissue",) if store.has_tissue else ()), *store.grid_keys(), *grids)

    def _bytes(self, tissue: TissueMask, grid: TileGrid) -> int | None:
        asked, widths = self._asked.embedding, [each.width for each in self._asked.prospects]
        if asked is None:
            return None
        view = view_of(self._slide, asked.markers, lambda: (tissue, grid))
        size = len(grid) * np.dtype(asked.dtype).itemsize
        known = [width for width in widths if width is not None]
        total = sum(size * prod(view.shape(width)) for width in known)
        return total if len(known) == len(widths) else None
