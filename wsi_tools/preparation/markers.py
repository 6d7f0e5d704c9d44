"""What is asked of multiplex slides: which markers, on which scale, and what becomes of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wsi_tools.channels import MatchedPanel, Normalization, Panel, Statistics, implicit_panel
from wsi_tools.embedding.markers import colours_of
from wsi_tools.errors import InputError
from wsi_tools.slide import SlideInfo

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
        normalization: None is ``fixed`` where the panel has a range for every marker, else
            ``dtype``.
        background: a marker that is subtracted from all others, and its factor.
        keep_background: what is subtracted is embedded as well.
        missing: what becomes of a marker that a slide lacks: ``error``, ``zero`` or ``drop``.
        cohort: the scale to take in the place of the slide's own.

    Raises:
        InputError: there is no such way, or slides without a marker would differ in width.
    """

    panel: Panel | None = None
    channels_as: str = "per-channel"
    normalization: Normalization | None = None
    background: tuple[str, float | None] | None = None
    keep_background: bool = False
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
            DataError: no panel was given, and two channels have one name.
        """
        panel = self.panel or implicit_panel(info)
        if self.background is not None:
            panel = panel.with_background(*self.background)
        if colours := colours_of(self.channels_as):
            panel = _only(panel, colours)
        name = panel.name if self.panel else ""  # an implicit one is named by what it has now
        return replace(panel, name=name, keep_background=self.keep_background)

    def matched(self, info: SlideInfo) -> MatchedPanel:
        """That panel, and where the slide has it.

        Raises:
            DataError: the slide lacks a marker, or has it twice.
        """
        return self.panel_of(info).matched(info, self.missing)

    def rule(self, panel: Panel) -> Normalization:
        """The normalisation, where none was typed by what the panel knows."""
        if self.normalization is not None:
            return self.normalization
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
            "cohort": self.cohort.to_json() if self.cohort else None,
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


def _unseen(marker: Any) -> Any:
    return marker if marker.role == "background" else replace(marker, role="ignore")
