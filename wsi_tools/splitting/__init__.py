"""Splitting: the markers of multiplex slides as pyramids of their own, for other programs."""

from wsi_tools.splitting.request import FORMATS, SplitRequest
from wsi_tools.splitting.work import Foreseen, Split, Splitting

__all__ = ["FORMATS", "Foreseen", "Split", "SplitRequest", "Splitting"]
