"""What is asked of multiplex slides: which markers, on which scale, and what becomes of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wsi_tools.channels import (
    CHANNEL_RECIPES,
    ChannelRecipe,
    Marker,
    Normalization,
    Panel,
    Statistics,
    blaming,
    implicit_panel,
)
from wsi_tools.embedding.markers import colours_of
from wsi_tools.errors import InputError
from wsi_tools.slide import SlideInfo
from wsi_tools.store.requests import fingerprint

__all__ = ["CohortScale", "Markers"]


@dataclass(frozen=True)
class CohortScale:
    """One scale for all slides, measured on some that were named.

    Attributes:
        statistics: what was measured, and the names of the slides.
        images: their fingerprints, in the same order.
    """

    statistics: Statistics
    images: tuple[str, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """Which slides, and what was measured on them, in short."""
        measured = self.statistics.to_json()
        slides = dict(zip(self.statistics.slides, self.images, strict=True))
        return {"slides": slides, "measured": fingerprint(measured["markers"])}

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"statistics": self.statistics.to_json(), "images": list(self.images)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "CohortScale":
        """Read what `to_json` gave."""
        return cls(Statistics.from_json(values["statistics"]), tuple(values["images"]))


@dataclass(frozen=True)
class Markers:
    """How the channels of a multiplex slide become features; nothing here concerns brightfield.

    Attributes:
        panel: None takes the file's channels, in the order of their names.
        channels_as: ``per-channel``, ``mean``, ``concat`` or ``rgb:RED,GREEN,BLUE``.
        normalization: None is the recipe's; without one ``fixed`` where the panel has a range for
            every marker, else ``dtype``.
        background: a marker that is subtracted from all others, and its factor.
        recipe: a name in `CHANNEL_RECIPES`, for what is not said.
        missing: what becomes of a marker that a slide lacks: ``error``, ``zero`` or ``drop``.
        cohort: the scale to take in the place of the slide's own.

    Raises:
        InputError: there is no such way, or slides without a marker would differ in width.
    """

    panel: Panel | None = None
    channels_as: str = "per-channel"
    normalization: Normalization | None = None
    background: tuple[str, float | None] | None = None
    recipe: str | None = None
    missing: str = "error"
    cohort: CohortScale | None = None

    def __post_init__(self) -> None:
        colours_of(self.channels_as)
        if self.missing == "drop" and self.way in ("concat", "rgb"):
            raise InputError(
                f"--missing-marker drop: with --channels-as {self.channels_as} every slide needs "
                "every marker; take --missing-marker zero"
            )

    @property
    def way(self) -> str:
        """One of `wsi_tools.embedding.markers.WAYS`."""
        return self.channels_as.partition(":")[0]

    def panel_of(self, info: SlideInfo) -> Panel:
        """The panel of a slide: with the background that was typed, and of `rgb` the three alone.

        Raises:
            InputError: a marker was named that the panel has not.
            DataError: no panel was given, and two channels have one name, or none has that one.
        """
        with blaming(info, self.panel):
            panel = self._less_background(info)
            if colours := colours_of(self.channels_as):
                panel = _only(panel, colours)
        return panel if self.panel else replace(panel, name="")  # named by what it has now

    def _less_background(self, info: SlideInfo) -> Panel:
        name, scale = self.background or (None, None)
        if self.paper is not None:
            recipe = self.paper if scale is None else replace(self.paper, background_scale=scale)
            return recipe.panel(info, self.panel, name)
        panel = self.panel or implicit_panel(info)
        return panel if name is None else panel.with_background(name, scale)

    @property
    def guesses_background(self) -> bool:
        """Whether a recipe subtracts a marker that nobody called a background."""
        listed = self.panel.markers if self.panel else ()
        said = self.background or any(marker.role == "background" for marker in listed)
        return self.recipe is not None and not said

    @property
    def paper(self) -> ChannelRecipe | None:
        """The recipe, if there is one."""
        return None if self.recipe is None else CHANNEL_RECIPES[self.recipe]

    def rule(self, panel: Panel) -> Normalization:
        """The normalisation, where none was typed by what the panel knows."""
        if self.normalization is not None:
            return self.normalization
        if self.paper is not None:
            return self.paper.normalization
        has_ranges = all(marker.range for marker in panel.kept)
        return Normalization("fixed" if has_ranges else "dtype")

    def words(self) -> dict[str, Any]:
        """What was asked for, as it was said."""
        return asdict(self)

    def request(self, panel: Panel) -> dict[str, Any]:
        """What features of all slides share, beside the backbone."""
        return {
            "as": self.channels_as,
            "panel": panel.identity,
            "normalize": str(self.rule(panel)),
            "missing": self.missing,
            "cohort": self.cohort.identity if self.cohort else None,
        }


def _only(panel: Panel, names: tuple[str, ...]) -> Panel:
    """These markers in this order; the others are there to be subtracted at most."""
    chosen = tuple(panel.marker(name) for name in names)
    others = (marker for marker in panel.markers if marker not in chosen)
    return replace(
        panel,
        markers=(
            *(replace(marker, role="marker") for marker in chosen),
            *(_unseen(marker) for marker in others),
        ),
    )


def _unseen(marker: Marker) -> Marker:
    return marker if marker.role == "background" else replace(marker, role="ignore")
