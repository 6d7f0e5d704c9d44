"""How a model's features came to be, kept with it so that new slides are prepared alike."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wsi_tools.channels import Normalization, Panel
from wsi_tools.cohort.bags import Bags
from wsi_tools.embedding.cards import name_of_key
from wsi_tools.errors import DataError
from wsi_tools.preparation import (
    CohortScale,
    Embedding,
    Markers,
    Preparation,
    Reading,
    Segmenting,
    Tiling,
)
from wsi_tools.store import FeatureStore
from wsi_tools.tiling import TileSpec
from wsi_tools.tissue import TissueOptions

__all__ = ["preparation_of", "recipe_of"]


def recipe_of(bags: Bags) -> dict[str, Any]:
    """What tissue, tiles and features of the first slide were asked to be, as plain data."""
    store = FeatureStore(next(iter(bags.stores.values())))
    features = store.feature_attributes(bags.features.grid, bags.features.name)
    request, grid = features["request"], store.grid_attributes(bags.features.grid)
    return {
        "tissue": store.tissue_request().get("options") if store.has_tissue else None,
        "tiles": grid["request"].get("spec"),
        "backbone": name_of_key(bags.features.name),
        "weights": features.get("weights", {}).get("source"),
        "precision": features.get("precision"),
        "engine": request.get("engine"),
        "dtype": request.get("dtype"),
        "min_tissue": request.get("min_tissue"),
        "markers": _markers_of(features),
        "fast_downsample": request.get("downsample") == "dct",
    }


def _markers_of(features: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was done to the channels, and with which panel; None of brightfield."""
    channels = features["request"].get("channels")
    if channels is None:
        return None
    return {
        "panel": features["panel"],
        "channels_as": channels["as"],
        "normalize": channels["normalize"],
        "missing": channels["missing"],
        "cohort": features["cohort"],
    }


def _markers(recipe: Mapping[str, Any] | None) -> Markers:
    if recipe is None:
        return Markers()
    cohort = recipe["cohort"]
    return Markers(
        panel=Panel.from_json(recipe["panel"]),
        channels_as=recipe["channels_as"],
        normalization=Normalization.parse(recipe["normalize"]),
        missing=recipe["missing"],
        cohort=CohortScale.from_json(cohort) if cohort else None,
    )


def preparation_of(
    recipe: Mapping[str, Any],
    *,
    weights: str | None = None,
    device: str = "auto",
    reading: Reading | None = None,
) -> Preparation:
    """The preparation that makes such features.

    Args:
        recipe: what `recipe_of` gave.
        weights: of the backbone, where they cannot be found by its name: a file or a folder.
        device: where the backbone computes.
        reading: how slides are opened; None takes what their files say.

    Raises:
        DataError: the features were not made by wsitools.
    """
    source = str(recipe["weights"])
    seeded = source if source.startswith("random:") else None
    try:
        spec = {**recipe["tiles"], "min_tissue": recipe["min_tissue"]}
        return Preparation(
            until="embed",
            reading=reading or Reading(),
            segmenting=Segmenting(TypeAdapter(TissueOptions).validate_python(recipe["tissue"])),
            tiling=Tiling(TypeAdapter(TileSpec).validate_python(spec)),
            embedding=Embedding(
                backbones=((recipe["backbone"], weights or seeded),),
                device=device,
                precision=recipe["precision"],
                engine=recipe["engine"],
                dtype=recipe["dtype"],
                min_tissue=recipe["min_tissue"],
                allow_geometry_mismatch=True,  # the training slides were allowed theirs
                markers=_markers(recipe.get("markers")),
                fast_downsample=recipe.get("fast_downsample", False),
            ),
        )
    except (TypeError, ValidationError):
        raise DataError(
            f"--from-slides: nothing says how the features {recipe['backbone']} were made; prepare "
            "the slides yourself, and name their project"
        ) from None
