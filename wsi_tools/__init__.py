"""From a folder of whole-slide images to trained, honest, explained slide-level models.

The public names are imported from their rooms when they are first asked for, so that
``import wsi_tools`` is instant::

    import wsi_tools as wt

    with wt.open_slide("case.svs") as slide:
        tissue = wt.segment(slide)
        grid = wt.tile(slide.info, tissue, wt.TileSpec(px=256, mpp=0.5))
        pixels = wt.read_box(slide, grid.box(0), (256, 256), grid.level)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

HOMES = {
    "BACKBONES": "wsi_tools.embedding.cards",
    "Backbone": "wsi_tools.embedding.backbones",
    "Bag": "wsi_tools.mil",
    "FeatureStore": "wsi_tools.store",
    "MILModel": "wsi_tools.mil",
    "MILOutput": "wsi_tools.mil",
    "MODELS": "wsi_tools.mil",
    "MULTIPLEX_SEGMENTERS": "wsi_tools.tissue",
    "PRESETS": "wsi_tools.tissue",
    "Panel": "wsi_tools.channels",
    "Project": "wsi_tools.store",
    "READERS": "wsi_tools.slide",
    "Region": "wsi_tools.tissue",
    "SEGMENTERS": "wsi_tools.tissue",
    "Slide": "wsi_tools.slide",
    "SlideInfo": "wsi_tools.slide",
    "TileGrid": "wsi_tools.tiling",
    "TileSpec": "wsi_tools.tiling",
    "TissueMask": "wsi_tools.tissue",
    "TissueOptions": "wsi_tools.tissue",
    "WsiToolsError": "wsi_tools.errors",
    "create_model": "wsi_tools.mil",
    "load_backbone": "wsi_tools.embedding.backbones",
    "open_slide": "wsi_tools.slide",
    "overlay": "wsi_tools.tissue",
    "read_box": "wsi_tools.slide.sampling",
    "read_panel": "wsi_tools.channels",
    "read_regions": "wsi_tools.tissue",
    "segment": "wsi_tools.tissue",
    "tile": "wsi_tools.tiling",
    "to_geojson": "wsi_tools.tissue",
}
"""Public name -> the module it is imported from."""

if TYPE_CHECKING:
    from wsi_tools.channels import Panel, read_panel
    from wsi_tools.embedding.backbones import Backbone, load_backbone
    from wsi_tools.embedding.cards import BACKBONES
    from wsi_tools.errors import WsiToolsError
    from wsi_tools.mil import MODELS, Bag, MILModel, MILOutput, create_model
    from wsi_tools.slide import READERS, Slide, SlideInfo, open_slide
    from wsi_tools.slide.sampling import read_box
    from wsi_tools.store import FeatureStore, Project
    from wsi_tools.tiling import TileGrid, TileSpec, tile
    from wsi_tools.tissue import (
        MULTIPLEX_SEGMENTERS,
        PRESETS,
        SEGMENTERS,
        Region,
        TissueMask,
        TissueOptions,
        overlay,
        read_regions,
        segment,
        to_geojson,
    )

__all__ = [
    "BACKBONES",
    "MODELS",
    "MULTIPLEX_SEGMENTERS",
    "PRESETS",
    "READERS",
    "SEGMENTERS",
    "Backbone",
    "Bag",
    "FeatureStore",
    "MILModel",
    "MILOutput",
    "Panel",
    "Project",
    "Region",
    "Slide",
    "SlideInfo",
    "TileGrid",
    "TileSpec",
    "TissueMask",
    "TissueOptions",
    "WsiToolsError",
    "__version__",
    "create_model",
    "load_backbone",
    "open_slide",
    "overlay",
    "read_box",
    "read_panel",
    "read_regions",
    "segment",
    "tile",
    "to_geojson",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
