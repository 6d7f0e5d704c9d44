"""What is asked of heat maps: which files, of which scores, in which colours."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wsi_tools.errors import InputError
from wsi_tools.heatmap.frame import LONGEST_PX
from wsi_tools.heatmap.scale import COLOURS, SCALINGS
from wsi_tools.heatmap.scores import ATTENTION, TileScores
from wsi_tools.heatmap.what_if import Change

__all__ = ["BACKGROUNDS", "FORMATS", "ORIGINS", "HeatmapRequest"]

FORMATS = ("png", "csv", "geojson", "ome-tiff", "rgb-tiff")
BACKGROUNDS = ("auto", "slide", "thumbnail")
ORIGINS = ("slide", "bounds")
EVERY = "all"


@dataclass(frozen=True)
class HeatmapRequest:
    """What is made of every slide.

    Attributes:
        to: the kinds of files.
        scores: names of scores, or ``all``.
        scaling: of the colours.
        colours: the ramp.
        opacity: of the heat over the slide.
        background: the slide's own pixels, the store's thumbnail, or the slide's where it is there.
        picture_px: the longer side of a picture.
        tiles: how many of the highest and of the lowest are shown; 0 for none.
        origin: what is (0, 0) in GeoJSON: the slide's corner or that of its bounds.
        what_if: changes of the clinical record, each by itself.

    Raises:
        InputError: a name that is not known, or a number out of range.
    """

    to: tuple[str, ...] = ("png",)
    scores: tuple[str, ...] = (ATTENTION,)
    scaling: str = "percentile"
    colours: str = "viridis"
    opacity: float = 0.6
    background: str = "auto"
    picture_px: int = LONGEST_PX
    tiles: int = 0
    origin: str = "slide"
    what_if: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        for name in self.to or ("",):
            _refuse_unknown("--to", name, FORMATS)
        _refuse_unknown("--scaling", self.scaling, SCALINGS)
        _refuse_unknown("--colours", self.colours, COLOURS)
        _refuse_unknown("--background", self.background, BACKGROUNDS)
        _refuse_unknown("--origin", self.origin, ORIGINS)
        if not 0 < self.opacity <= 1:
            raise InputError(f"--opacity {self.opacity:g}: give a share such as 0.6")

    def names(self, scores: TileScores) -> tuple[str, ...]:
        """The scores that are meant.

        Raises:
            InputError: the model does not have one of them.
        """
        if EVERY in self.scores:
            return scores.names
        for name in self.scores:
            scores.score(name)  # raises for a name that stands for nothing
        return self.scores

    def as_json(self) -> dict[str, Any]:
        """Plain data, to compare with an earlier request."""
        return asdict(self)


def _refuse_unknown(flag: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{flag} {value}: choose from {', '.join(known)}")
