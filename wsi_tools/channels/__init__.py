"""Markers of multiplex slides: panels, where a slide has their channels, and one scale for each."""

from wsi_tools.channels.matching import MatchedMarker, MatchedPanel
from wsi_tools.channels.normalization import Normalization
from wsi_tools.channels.panel import ROLES, Marker, Panel, blaming, implicit_panel, is_nuclear
from wsi_tools.channels.reading import read_panel
from wsi_tools.channels.recipes import CHANNEL_RECIPES, ChannelRecipe
from wsi_tools.channels.statistics import Statistics, combined, fitted
from wsi_tools.channels.transform import ChannelTransform, without_background

__all__ = [
    "CHANNEL_RECIPES",
    "ROLES",
    "ChannelRecipe",
    "ChannelTransform",
    "Marker",
    "MatchedMarker",
    "MatchedPanel",
    "Normalization",
    "Panel",
    "Statistics",
    "blaming",
    "combined",
    "fitted",
    "implicit_panel",
    "is_nuclear",
    "read_panel",
    "without_background",
]
