"""The embedding stage: features that are missing on a grid, filled and given their name."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi_tools.embedding import Column, EmbedOptions, Spent, fill
from wsi_tools.embedding.cards import feature_key, find_card
from wsi_tools.errors import InputError, SlideError
from wsi_tools.execution import Report, available_cores
from wsi_tools.preparation.requests import Embedding
from wsi_tools.slide import Slide
from wsi_tools.store import FeatureStore, StoreWriter
from wsi_tools.store.requests import Request, fingerprint

if TYPE_CHECKING:
    from wsi_tools.embedding.backbones import Backbone

BATCH_SIZE = {"cpu": 8, "cuda": 256}  # on a CPU larger ones lose their gain to page faults


class Backbones:
    """The backbones asked for, each loaded when it is first wanted and kept for all slides."""

    def __init__(self, asked: Embedding) -> None:
        self._asked = asked
        self._weights = dict(asked.backbones)
        self._loaded: dict[str, Backbone] = {}

    def __getitem__(self, name: str) -> "Backbone":
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> "Backbone":
        import torch

        from wsi_tools.embedding.backbones import load_backbone

        asked = self._asked
        device = asked.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return load_backbone(
            name,
            weights=self._weights[name],
            device=device,
            precision=asked.precision,
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


def embed_grid(
    slide: Slide,
    writer: StoreWriter,
    key: str,
    backbones: Backbones,
    asked: Embedding,
    report: Report,
) -> Spent:
    """Fill the features that are missing on a grid; each tile is decoded once for all of them."""
    store = writer.store
    refuse_geometry(asked, store.grid_attributes(key)["requested"]["mpp"])
    wanted = [name for name, _ in asked.backbones if not _is_done(store, key, name, asked)]
    columns = _columns(writer, key, [backbones[name] for name in wanted], asked)
    if not columns:
        return Spent()
    spent = _filled(slide, store, key, columns, asked, report)
    for column in columns:
        column.features.commit(_provenance(column.backbone, asked, spent))
    return spent


def _filled(
    slide: Slide,
    store: FeatureStore,
    key: str,
    columns: Sequence[Column],
    asked: Embedding,
    report: Report,
) -> Spent:
    grid, valid = store.grid(key), store.valid(key)
    enough = grid.tissue >= _least_tissue(store, key, asked)
    found_bad = np.count_nonzero(enough & ~valid)  # by what this goes on from, or other backbones
    most = asked.max_bad_tiles * np.count_nonzero(enough) - found_bad
    options = _options(asked, columns[0].backbone.device.type, most)
    report("embed", 0, len(grid))
    try:
        wanted = enough & valid
        return fill(slide, grid, columns, wanted=wanted, options=options, report=report)
    except SlideError:  # so that the next attempt reads every tile again
        for column in columns:
            column.features.abandon()
        raise


def _is_done(store: FeatureStore, key: str, name: str, asked: Embedding) -> bool:
    """Whether the features of just this request are there, told without loading a backbone.

    False where only a backbone can tell: its weights are in a file that may have changed, or the
    same was asked for in other words.
    """
    features = feature_key(name)
    if features not in store.feature_names(key) or not _is_lasting(name, asked):
        return False
    made = store.feature_attributes(key, features)
    return (
        made.get("asked") == _words(name, asked)
        and made["request"]["grid"] == store.grid_attributes(key)["fingerprint"]
        and made["request"]["min_tissue"] <= _least_tissue(store, key, asked)
    )


def _is_lasting(name: str, asked: Embedding) -> bool:
    weights = dict(asked.backbones)[name]
    published = weights is None and find_card(name).scheme != "local-dir"
    return published or str(weights).startswith("random:")


def _words(name: str, asked: Embedding) -> str:
    """A digest of what was asked for, as it was said."""
    how = (asked.device, asked.precision, asked.engine, asked.dtype)
    weights = dict(asked.backbones)[name]
    return fingerprint({"card": asdict(find_card(name)), "weights": weights, "how": how})


def _least_tissue(store: FeatureStore, key: str, asked: Embedding) -> float:
    if asked.min_tissue is not None:
        return asked.min_tissue
    least: float = store.grid_attributes(key)["min_tissue"]
    return least


def _columns(
    writer: StoreWriter, key: str, backbones: Sequence["Backbone"], asked: Embedding
) -> list[Column]:
    """Where each backbone's rows go, less those that are complete."""
    columns = []
    for backbone in backbones:
        name = feature_key(backbone.card.name)
        request = _request(writer.store, key, backbone, asked)
        if not writer.has_features(key, name, _as_wide(writer.store, key, name, request)):
            features = writer.features(key, name, request)
            done = features.open((writer.store.tiles(key), backbone.width), asked.dtype)
            columns.append(Column(backbone, features, done))
    return columns


def _as_wide(store: FeatureStore, key: str, name: str, request: Request) -> Request:
    """The request with the least tissue of features that are there, if they have more tiles."""
    if name not in store.feature_names(key):
        return request
    there: float = store.feature_attributes(key, name)["request"]["min_tissue"]
    return {**request, "min_tissue": min(there, request["min_tissue"])}


def _request(store: FeatureStore, key: str, backbone: "Backbone", asked: Embedding) -> Request:
    """What features depend on: tiles, network, weights, transform, numeric class, storage."""
    return {
        "grid": store.grid_attributes(key)["fingerprint"],
        "backbone": backbone.card.source,
        "weights": backbone.weights.identity,
        "transform": asdict(backbone.transform),
        "engine": asked.engine,
        "precision": backbone.numeric_class,
        "dtype": asked.dtype,
        "min_tissue": _least_tissue(store, key, asked),
    }


def _options(asked: Embedding, device: str, most_unread: float) -> EmbedOptions:
    return EmbedOptions(
        batch_size=asked.batch_size or BATCH_SIZE[device],
        readers=asked.readers or available_cores(),
        most_unread=most_unread,
    )


def _provenance(backbone: "Backbone", asked: Embedding, spent: Spent) -> dict[str, Any]:
    return {
        "backbone": asdict(backbone.card),
        "weights": asdict(backbone.weights),
        "transform": asdict(backbone.transform),
        "precision": backbone.precision,
        "engine": asked.engine,
        "device": str(backbone.device),
        "asked": _words(backbone.card.name, asked),
        "seconds": spent.seconds(),
    }
