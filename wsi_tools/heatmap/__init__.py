"""Heat maps: what models looked at, laid on the slide, from stores and checkpoints alone."""

from wsi_tools.heatmap.background import from_slide, from_thumbnail
from wsi_tools.heatmap.field import HeatField, heat_field
from wsi_tools.heatmap.figure import Caption, figure
from wsi_tools.heatmap.frame import Frame, frame_of
from wsi_tools.heatmap.matrix import matrix_picture
from wsi_tools.heatmap.models import RunModels
from wsi_tools.heatmap.overlay import overlay, png
from wsi_tools.heatmap.pixels import slide_of
from wsi_tools.heatmap.request import HeatmapRequest
from wsi_tools.heatmap.scale import COLOURS, SCALINGS, Scaled, percentiles, scaled
from wsi_tools.heatmap.scores import Judges, MarkerMatrix, TileScores
from wsi_tools.heatmap.tiles import Extremes, contact_sheet, extremes, tile_pictures
from wsi_tools.heatmap.work import HeatmapWork

__all__ = [
    "COLOURS",
    "SCALINGS",
    "Caption",
    "Extremes",
    "Frame",
    "HeatField",
    "HeatmapRequest",
    "HeatmapWork",
    "Judges",
    "MarkerMatrix",
    "RunModels",
    "Scaled",
    "TileScores",
    "contact_sheet",
    "extremes",
    "figure",
    "frame_of",
    "from_slide",
    "from_thumbnail",
    "heat_field",
    "matrix_picture",
    "overlay",
    "percentiles",
    "png",
    "scaled",
    "slide_of",
    "tile_pictures",
]
