"""The embedding stage: features that are missing on a grid, filled and given their name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wsi_tools.embedding import Column, EmbedOptions, Spent, fill
from wsi_tools.embedding.backbones import Backbone, load_backbone
from wsi_tools.embedding.cards import feature_key
from wsi_tools.errors import InputError
from wsi_tools.execution import Report, available_cores
from wsi_tools.preparation.requests import Embedding
from wsi_tools.slide import Slide
from wsi_tools.store import StoreWriter
from wsi_tools.store.requests import Request

BATCH_SIZE = {"cpu": 8, "cuda": 256}  # on a CPU larger ones lose their gain to page faults


def load_backbones(asked: Embedding) -> dict[str, Backbone]:
    """The backbones asked for, by their keys in a store; each is kept for all slides."""
    import torch

    device = asked.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        feature_key(name): load_backbone(
            name, weights=weights, device=device, precision=asked.precision, offline=asked.offline
        )
        for name, weights in asked.backbones
    }


def embed_grid(
    slide: Slide,
    writer: StoreWriter,
    key: str,
    backbones: Mapping[str, Backbone],
    asked: Embedding,
    report: Report,
) -> Spent:
    """Fill the features that are missing on a grid; each tile is decoded once for all of them."""
    store = writer.store
    grid = store.grid(key)
    least = grid.spec.min_tissue if asked.min_tissue is None else asked.min_tissue
    columns = [
        column
        for name, backbone in backbones.items()
        if (column := _column(writer, key, name, backbone, asked, least)) is not None
    ]
    if not columns:
        return Spent()
    wanted = (grid.tissue >= least) & store.valid(key)
    options = _options(asked, columns)
    spent = fill(slide, grid, columns, wanted=wanted, options=options, report=report)
    for column in columns:
        column.features.commit(_provenance(column.backbone, asked, spent))
    return spent


def _column(
    writer: StoreWriter, key: str, name: str, backbone: Backbone, asked: Embedding, least: float
) -> Column | None:
    """Where a backbone's rows go; None where they are complete."""
    grid = writer.store.grid_attributes(key)
    _refuse_geometry(backbone, grid["requested"]["mpp"], asked)
    request = _request(grid, backbone, asked, least)
    if writer.has_features(key, name, request):
        return None
    features = writer.features(key, name, request)
    done = features.open((writer.store.tiles(key), backbone.width), asked.dtype)
    return Column(backbone, features, done)


def _request(grid: Request, backbone: Backbone, asked: Embedding, least: float) -> Request:
    """What features depend on: tiles, network, weights, transform, numeric class, storage."""
    return {
        "grid": grid["fingerprint"],
        "backbone": backbone.card.source,
        "weights": backbone.weights.identity,
        "transform": asdict(backbone.transform),
        "engine": asked.engine,
        "precision": backbone.numeric_class,
        "dtype": asked.dtype,
        "min_tissue": least,
    }


def _refuse_geometry(backbone: Backbone, mpp: float, asked: Embedding) -> None:
    bounds = backbone.card.mpp
    if bounds and not bounds[0] <= mpp <= bounds[1] and not asked.allow_geometry_mismatch:
        raise InputError(
            f"{backbone.card.name}: made for {bounds[0]} to {bounds[1]} µm/px, and the tiles have "
            f"{mpp:g}; tile at --mpp 0.5, or add --allow-geometry-mismatch"
        )


def _options(asked: Embedding, columns: Sequence[Column]) -> EmbedOptions:
    device = columns[0].backbone.device.type
    return EmbedOptions(
        batch_size=asked.batch_size or BATCH_SIZE[device],
        readers=asked.readers or available_cores(),
        max_bad_tiles=asked.max_bad_tiles,
    )


def _provenance(backbone: Backbone, asked: Embedding, spent: Spent) -> dict[str, Any]:
    return {
        "backbone": asdict(backbone.card),
        "weights": asdict(backbone.weights),
        "transform": asdict(backbone.transform),
        "precision": backbone.precision,
        "engine": asked.engine,
        "device": str(backbone.device),
        "seconds": spent.seconds(),
    }
