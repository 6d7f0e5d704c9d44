"""Where the tissue of a slide is: found, outlined with its holes, read from GeoJSON and drawn."""

from wsi_tools.tissue.coverage import Coverage
from wsi_tools.tissue.geojson import Region, parse_regions, read_regions, to_geojson
from wsi_tools.tissue.mask import TissueMask
from wsi_tools.tissue.options import PRESETS, StainColour, TissueOptions
from wsi_tools.tissue.overlay import overlay
from wsi_tools.tissue.segmentation import MULTIPLEX_SEGMENTERS, SEGMENTERS, segment
from wsi_tools.tissue.thresholds import Foreground

__all__ = [
    "MULTIPLEX_SEGMENTERS",
    "PRESETS",
    "SEGMENTERS",
    "Coverage",
    "Foreground",
    "Region",
    "StainColour",
    "TissueMask",
    "TissueOptions",
    "overlay",
    "parse_regions",
    "read_regions",
    "segment",
    "to_geojson",
]
