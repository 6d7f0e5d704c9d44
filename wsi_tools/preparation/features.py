"""The embedding stage: features that are missing on a grid, filled and given their name."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi_tools.embedding import Column, EmbedOptions, Spent, fill
from wsi_tools.embedding.cards import find_card
from wsi_tools.errors import InputError, SlideError
from wsi_tools.execution import Report, available_cores
from wsi_tools.preparation.downsampling import FastView
from wsi_tools.preparation.requests import Embedding
from wsi_tools.preparation.views import MarkerView, View, view_of
from wsi_tools.slide import Slide
from wsi_tools.store import FeatureStore, StoreWriter
from wsi_tools.store.requests import Request, fingerprint

if TYPE_CHECKING:
    from wsi_tools.embedding.backbones import Backbone
    from wsi_tools.embedding.pace import Pace

NOT_OF_MARKERS = "--fast-downsample is for brightfield; markers are exact area means"


class Backbones:
    """The backbones asked for, each loaded when it is first wanted and kept for all slides."""

    def __init__(self, asked: Embedding) -> None:
        self._asked = asked
        self._weights = dict(asked.backbones)
        self._loaded: dict[str, Backbone] = {}
        self._paces: dict[tuple[int, tuple[str, ...]], Pace] = {}

    def __getitem__(self, name: str) -> "Backbone":
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def pace(self, backbones: Sequence["Backbone"], tile_px: int) -> "Pace":
        """How these go about it together, the same for all slides."""
        from wsi_tools.embedding.pace import Pace

        key = tile_px, tuple(each.card.name for each in backbones)
        if key not in self._paces:
            self._paces[key] = Pace.of(backbones, tile_px, self._asked.batch_size)
        return self._paces[key]

    def _load(self, name: str) -> "Backbone":
        import torch

        from wsi_tools.embedding.backbones import load_backbone

        asked = self._asked
        device = asked.device
        if device == "auto":
            on_gpu = torch.cuda.is_available() and asked.engine == "torch"
            device = "cuda" if on_gpu else "cpu"
        return load_backbone(
            name,
            weights=self._weights[name],
            device=device,
            precision=asked.precision,
            engine=asked.engine,
            offline=asked.offline,
        )


def refuse_geometry(asked: Embedding, mpp: float) -> None:
    """Refuse tiles of a resolution that a backbone was not made for, before anything is loaded.

    Raises:
        InputError: unless the mismatch was allowed.
    """
    for name, _ in asked.backbones:
        bounds = find_card(name).mpp
        if bounds and not bounds[0] <= mpp <= bounds[1] and not asked.allow_geometry_mismatch:
            raise InputError(
                f"{name}: made for {bounds[0]} to {bounds[1]} µm/px, and the tiles have {mpp:g}; "
                "tile at --mpp 0.5, or add --allow-geometry-mismatch"
            )


@dataclass(frozen=True)
class Embedded:
    """What embedding a grid came to: the sets of features, the time, what a person should know."""

    names: tuple[str, ...]
    spent: Spent
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One grid of one slide, and what is to become of it."""

    writer: StoreWriter
    key: str
    view: View
    asked: Embedding

    @classmethod
    def of(cls, slide: Slide, writer: StoreWriter, key: str, asked: Embedding) -> "Stage":
        """Look at the slide as it is asked.

        Raises:
            DataError: the slide and the panel do not fit together.
        """
        store = writer.store
        if asked.fast_downsample and not slide.info.multiplex and asked.markers.panel is None:
            return cls(writer, key, FastView(slide, store.grid(key)), asked)
        view = view_of(slide, asked.markers, lambda: (store.tissue(), store.grid(key)))
        return cls(writer, key, view, asked)

    @property
    def store(self) -> FeatureStore:
        """What is complete by now."""
        return self.writer.store

    @property
    def tile_px(self) -> int:
        """Side of the tiles as they are read."""
        side: int = self.store.grid_attributes(self.key)["requested"]["tile_px"]
        return side

    def warnings(self) -> tuple[str, ...]:
        """What a person should know: of the view, and of what was asked of it in vain."""
        in_vain = self.asked.fast_downsample and isinstance(self.view, MarkerView)
        return (*self.view.warnings(), *([NOT_OF_MARKERS] if in_vain else ()))

    @property
    def least_tissue(self) -> float:
        """Tiles with less are not embedded."""
        if self.asked.min_tissue is not None:
            return self.asked.min_tissue
        least: float = self.store.grid_attributes(self.key)["min_tissue"]
        return least


def embed_grid(stage: Stage, backbones: Backbones, report: Report) -> Embedded:
    """Fill the features that are missing on a grid; each tile is decoded once for all of them."""
    refuse_geometry(stage.asked, stage.store.grid_attributes(stage.key)["requested"]["mpp"])
    names = tuple(stage.view.key(name) for name, _ in stage.asked.backbones)
    wanted = [name for name, _ in stage.asked.backbones if not _is_done(stage, name)]
    columns = _columns(stage, [backbones[name] for name in wanted])
    if not columns:
        return Embedded(names, Spent())
    pace = backbones.pace([backbone for backbone, _ in columns], stage.tile_px)
    spent = _filled(stage, columns, pace, report)
    for backbone, column in columns:
        column.features.commit(_provenance(stage, backbone, spent))
    return Embedded(names, spent, stage.warnings())


def _filled(
    stage: Stage, filling: Sequence[tuple["Backbone", Column]], pace: "Pace", report: Report
) -> Spent:
    backbones, columns = zip(*filling, strict=True)
    store, key, asked = stage.store, stage.key, stage.asked
    grid, valid = store.grid(key), store.valid(key)
    enough = grid.tissue >= stage.least_tissue
    found_bad = np.count_nonzero(enough & ~valid)  # by what this goes on from, or other backbones
    most = asked.max_bad_tiles * np.count_nonzero(enough) - found_bad
    options = _options(stage, backbones, pace, most)
    report("embed", 0, len(grid))
    try:
        wanted = enough & valid
        with stage.view.shown() as slide:
            return fill(slide, grid, columns, wanted=wanted, options=options, report=report)
    except SlideError:  # so that the next attempt reads every tile again
        for column in columns:
            column.features.abandon()
        raise


def _is_done(stage: Stage, name: str) -> bool:
    """Whether the features of just this request are there, told without loading a backbone.

    False where only a backbone can tell: its weights are in a file that may have changed, or the
    same was asked for in other words.
    """
    store, key, features = stage.store, stage.key, stage.view.key(name)
    if features not in store.feature_names(key) or not _is_lasting(name, stage.asked):
        return False
    made = store.feature_attributes(key, features)
    return (
        made.get("asked") == _words(stage, name)
        and made["request"]["grid"] == store.grid_attributes(key)["fingerprint"]
        and made["request"]["min_tissue"] <= stage.least_tissue
    )


def _is_lasting(name: str, asked: Embedding) -> bool:
    weights = dict(asked.backbones)[name]
    published = weights is None and find_card(name).scheme != "local-dir"
    return published or str(weights).startswith("random:")


def _words(stage: Stage, name: str) -> str:
    """A digest of what was asked for, as it was said."""
    asked = stage.asked
    kind = asked.device.partition(":")[0]  # GPUs of one machine compute alike
    how = (kind, asked.precision, asked.engine, asked.dtype)
    said = {"card": asdict(find_card(name)), "weights": dict(asked.backbones)[name], "how": how}
    return fingerprint({**said, **stage.view.words()})


def _columns(stage: Stage, backbones: Sequence["Backbone"]) -> list[tuple["Backbone", Column]]:
    """Where each backbone's rows go, less those that are complete."""
    columns = []
    for backbone in backbones:
        name = stage.view.key(backbone.card.name)
        request = _request(stage, backbone)
        if not stage.writer.has_features(stage.key, name, _as_wide(stage, name, request)):
            features = stage.writer.features(stage.key, name, request)
            shape = (stage.store.tiles(stage.key), *stage.view.shape(backbone.width))
            done = features.open(shape, stage.asked.dtype)
            columns.append((backbone, Column(stage.view.embedder(backbone), features, done)))
    return columns


def _as_wide(stage: Stage, name: str, request: Request) -> Request:
    """The request with the least tissue of features that are there, if they have more tiles."""
    if name not in stage.store.feature_names(stage.key):
        return request
    made = stage.store.feature_attributes(stage.key, name)
    there: float = made["request"]["min_tissue"]
    return {**request, "min_tissue": min(there, request["min_tissue"])}


def _request(stage: Stage, backbone: "Backbone") -> Request:
    """What features depend on: tiles, network, weights, transform, numeric class, storage."""
    return {
        "grid": stage.store.grid_attributes(stage.key)["fingerprint"],
        "backbone": backbone.card.source,
        "weights": backbone.weights.identity,
        "transform": asdict(backbone.transform),
        "engine": stage.asked.engine,
        "precision": backbone.numeric_class,
        "dtype": stage.asked.dtype,
        "min_tissue": stage.least_tissue,
        **stage.view.request(),
    }


def _options(
    stage: Stage, backbones: Sequence["Backbone"], pace: "Pace", most_unread: float
) -> EmbedOptions:
    from wsi_tools.embedding.backbones import resized_for

    return EmbedOptions(
        batch_size=max(1, pace.batch // stage.view.pictures),
        readers=stage.asked.readers or available_cores(),
        most_unread=most_unread,
        develop=stage.view.develop or resized_for(backbones),
        lanes=pace.lanes,
        begin_lane=pace.begin,
    )


def _provenance(stage: Stage, backbone: "Backbone", spent: Spent) -> dict[str, Any]:
    return {
        "backbone": asdict(backbone.card),
        "weights": asdict(backbone.weights),
        "transform": asdict(backbone.transform),
        "precision": backbone.precision,
        "engine": stage.asked.engine,
        "device": str(backbone.device),
        "asked": _words(stage, backbone.card.name),
        "seconds": spent.seconds(),
        **stage.view.attributes(),
    }
