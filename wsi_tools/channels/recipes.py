"""How papers prepared their multiplex slides, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from wsi_tools.channels.normalization import Normalization
from wsi_tools.channels.panel import Panel, implicit_panel

if TYPE_CHECKING:
    from wsi_tools.slide import SlideInfo

__all__ = ["CHANNEL_RECIPES", "ChannelRecipe"]


@dataclass(frozen=True)
class ChannelRecipe:
    """What is done to the channels of every slide.

    Attributes:
        normalization: after the background is subtracted.
        tissue_method: a name in `MULTIPLEX_SEGMENTERS`.
        background_scale: what the background is multiplied with, whatever the exposures.
        keep_background: the background's own plane is embedded too.
    """

    normalization: Normalization
    tissue_method: str
    background_scale: float
    keep_background: bool

    def panel(
        self, info: "SlideInfo", panel: Panel | None = None, background: str | None = None
    ) -> Panel:
        """The markers of a slide, one subtracted from all others.

        Args:
            info: the slide.
            panel: the markers; None takes the file's channels, in the order of their names.
            background: which marker is subtracted; None takes the panel's last of that role, else
                its last row, or without a panel the last channel of the file.

        Raises:
            InputError: the panel has no marker of that name.
        """
        named = background or self._last(info, panel)
        markers = panel or implicit_panel(info)
        less = markers.with_background(named, self.background_scale)
        return replace(less, keep_background=self.keep_background)

    @staticmethod
    def _last(info: "SlideInfo", panel: Panel | None) -> str:
        if panel is None:
            return info.channels[-1].name
        marked = [marker for marker in panel.markers if marker.role == "background"]
        return (marked or panel.markers)[-1].name


# arXiv 2411.08975: over 255, autofluorescence subtracted from all others as it is and kept.
CHANNEL_RECIPES: Mapping[str, ChannelRecipe] = MappingProxyType(
    {
        "fluoroformer": ChannelRecipe(
            normalization=Normalization("dtype"),
            tissue_method="any-marker",
            background_scale=1.0,
            keep_background=True,
        )
    }
)
