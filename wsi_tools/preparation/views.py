"""How a backbone looks at a slide: at its colours as they are, or at the markers of a panel."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.channels import ChannelTransform, MatchedPanel, Panel, Statistics
from wsi_tools.channels.statistics import fitted
from wsi_tools.embedding.cards import feature_key
from wsi_tools.embedding.markers import MarkerBackbone, shape_of
from wsi_tools.errors import SlideError
from wsi_tools.preparation.extremes import Extremes
from wsi_tools.preparation.markers import Markers
from wsi_tools.preparation.measuring import tissue_values
from wsi_tools.slide import Slide
from wsi_tools.store.requests import fingerprint
from wsi_tools.tiling import TileGrid
from wsi_tools.tissue import TissueMask

if TYPE_CHECKING:
    from wsi_tools.embedding import Embedder
    from wsi_tools.embedding.backbones import Backbone
    from wsi_tools.embedding.tiles import Develop

__all__ = ["ColourView", "Ground", "MarkerView", "View", "view_of"]

Ground = Callable[[], tuple[TissueMask, TileGrid]]


class ColourView:
    """A brightfield slide: backbones take its tiles as they were read."""

    pictures = 1  # that a backbone sees of a tile
    develop: "Develop | None" = None

    def __init__(self, slide: Slide) -> None:
        self._slide = slide

    def key(self, backbone: str) -> str:
        """What a backbone's features are called in a store."""
        return feature_key(backbone)

    def shape(self, width: int) -> tuple[int, ...]:
        """Of one tile's features, for a backbone of so many values."""
        return (width,)

    def embedder(self, backbone: "Backbone") -> "Embedder":
        """The backbone as it is."""
        return backbone

    @contextmanager
    def shown(self) -> Iterator[Slide]:
        """The slide as it is."""
        yield self._slide

    def words(self) -> Mapping[str, Any]:
        """What was asked for beside the backbone: nothing."""
        return {}

    def request(self) -> Mapping[str, Any]:
        """What features depend on beside the backbone: nothing."""
        return {}

    def attributes(self) -> Mapping[str, Any]:
        """What else a store keeps of it: nothing."""
        return {}

    def warnings(self) -> tuple[str, ...]:
        """What a person should know: nothing."""
        return ()


class MarkerView:
    """A multiplex slide: a backbone looks at the markers of a panel.

    Args:
        slide: open, with all its channels.
        asked: which markers, and how.
        ground: gives tissue and grid of the slide, for a scale that is measured there.
    """

    def __init__(self, slide: Slide, asked: Markers, ground: Ground) -> None:
        self._slide, self._asked, self._ground = slide, asked, ground
        self.panel: Panel = asked.panel_of(slide.info)
        self.matched: MatchedPanel = self.panel.matched(slide.info, asked.missing)
        self.pictures = 1 if asked.way == "rgb" else sum(self.matched.present)
        names = {each.channel: each.name for each in self.matched.markers}
        channels = slide.info.channels
        self._extremes = Extremes(
            [names.get(place, channels[place].name) for place in self.matched.channels]
        )

    @cached_property
    def statistics(self) -> Statistics | None:
        """The scale of every marker, if it is measured: the cohort's, or this slide's own."""
        rule = self._asked.rule(self.panel)
        if not rule.is_fitted:
            return None
        if self._asked.cohort is not None:
            return self._asked.cohort.statistics
        tissue, grid = self._ground()
        values = tissue_values(self._slide, grid, tissue, self.matched)
        return fitted(rule, self.matched.names, values, self._slide.info.path.name)

    @cached_property
    def transform(self) -> ChannelTransform:
        """From the channels of `shown` to planes of markers."""
        return ChannelTransform(self.matched, self._asked.rule(self.panel), self.statistics)

    def develop(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Channels (B, px, px, C) as they were read → planes (B, M, px, px) float32."""
        self._extremes.note(pixels)
        return self.transform(pixels)

    def key(self, backbone: str) -> str:
        """What a backbone's features are called in a store: after the panel, and the way."""
        way = "" if self._asked.way == "per-channel" else f".{self._asked.way}"
        return feature_key(backbone, self.panel.name + way)

    def shape(self, width: int) -> tuple[int, ...]:
        """Of one tile's features, for a backbone of so many values."""
        return shape_of(self._asked.way, len(self.matched.markers), width)

    def embedder(self, backbone: "Backbone") -> "Embedder":
        """The backbone, looking at markers."""
        return MarkerBackbone(backbone, self._asked.way, self.matched.present)

    @contextmanager
    def shown(self) -> Iterator[Slide]:
        """The slide with the channels that are wanted."""
        with self._slide.only(self.matched.channels) as shown:
            yield shown

    def words(self) -> Mapping[str, Any]:
        """What was asked for beside the backbone."""
        return {"markers": self._asked.words()}

    def request(self) -> Mapping[str, Any]:
        """What features depend on beside the backbone; `found` and `statistics` are the slide's."""
        scale = self.transform.statistics
        own = scale.to_json()["markers"] if scale and self._asked.cohort is None else None
        return {
            "channels": self._asked.request(self.panel),
            "found": self.matched.to_json(),
            "statistics": fingerprint(own) if own else None,
        }

    def attributes(self) -> Mapping[str, Any]:
        """What else a store keeps: markers by name, where each was found, panel and scale."""
        cohort, scale = self._asked.cohort, self.statistics
        return {
            "markers": list(self.matched.names),
            "missing": list(self.matched.missing),
            "channels": self.matched.to_json(),
            "panel": self.panel.to_json(),
            "statistics": scale.to_json() if scale else None,
            "cohort": cohort.to_json() if cohort else None,
        }

    def warnings(self) -> tuple[str, ...]:
        """Contradictions of names, and channels that say nothing."""
        return (*self.matched.warnings, *self._guesses(), *self._extremes.warnings())

    def _guesses(self) -> Iterator[str]:
        if self._asked.guesses_background:
            guessed = next(each.name for each in self.panel.markers if each.role == "background")
            yield f"{guessed}, the last, is taken for the background; say which with --background"


View = ColourView | MarkerView


def view_of(slide: Slide, asked: Markers, ground: Ground) -> View:
    """How a backbone looks at this slide.

    Raises:
        SlideError: a panel was given, and the slide is brightfield.
        DataError: the slide and the panel do not fit together.
    """
    if slide.info.multiplex:
        return MarkerView(slide, asked, ground)
    if asked.panel is not None:
        raise SlideError(
            f"{slide.info.path.name}: is brightfield, and a panel is of a multiplex slide's "
            "channels; embed it without --panel"
        )
    return ColourView(slide)
