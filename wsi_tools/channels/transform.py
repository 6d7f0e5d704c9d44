"""From the pixels of a slide's channels to planes of markers: background first, then one scale.

Nothing depends on the tile: a value becomes the same number wherever it stands, and no marker
touches another's plane unless it is its background.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.channels.matching import MatchedMarker, MatchedPanel
from wsi_tools.channels.normalization import Normalization
from wsi_tools.channels.statistics import Statistics
from wsi_tools.errors import DataError, InputError

__all__ = ["ChannelTransform", "without_background"]

Planes = NDArray[np.float32]


@dataclass(frozen=True)
class ChannelTransform:
    """Makes planes of markers out of the channels `matched.channels` of one slide.

    Attributes:
        matched: where the slide has its markers.
        normalization: the rule.
        statistics: what was fitted on tissue, for the rules that need it.

    Raises:
        DataError: a marker has no range, and the rule needs one.
        InputError: the rule needs statistics, and those given are none or others.
    """

    matched: MatchedPanel
    normalization: Normalization
    statistics: Statistics | None = None

    def __post_init__(self) -> None:
        if self.normalization.is_fitted:
            self._refuse_other_statistics()
        else:
            for marker in self.matched.markers:
                _stated(marker, self.normalization)

    def _refuse_other_statistics(self) -> None:
        if self.statistics is None:
            raise InputError(f"--normalize {self.normalization} needs statistics; fit them first")
        self.statistics.refuse_unless_for(self.normalization, self.matched.names)

    def __call__(self, pixels: NDArray[Any]) -> Planes:
        """Subtract backgrounds and normalise.

        Args:
            pixels: (B, h, w, C) as they were read, C the channels of `matched.channels`.

        Returns:
            float32 (B, M, h, w), one plane per marker of `matched.names`; a marker that the slide
            lacks is 0.
        """
        batch, height, width, _ = pixels.shape
        planes = np.zeros((batch, len(self.matched.markers), height, width), np.float32)
        for place, marker in enumerate(self.matched.markers):
            if marker.channel is not None:
                values = _values(pixels, marker, self.matched)  # (B, h, w)
                planes[:, place] = self._normalised(values, marker)
        return planes

    def _normalised(self, values: Planes, marker: MatchedMarker) -> Planes:
        """Scale values in place, which is thrice as fast."""
        low, span = self._scale(marker)
        if span == 0:
            return np.zeros_like(values)  # one value everywhere on the tissue says nothing
        if self.normalization.method == "arcsinh":
            values /= np.float32(self.normalization.numbers[0])
            np.arcsinh(values, out=values)
        values -= np.float32(low)
        values /= np.float32(span)
        return np.clip(values, 0, 1, out=values) if self.normalization.is_bounded else values

    def _scale(self, marker: MatchedMarker) -> tuple[float, float]:
        if self.statistics is not None and self.normalization.is_fitted:
            return self.statistics.of(marker.name)
        return _stated(marker, self.normalization)


def _stated(marker: MatchedMarker, normalization: Normalization) -> tuple[float, float]:
    """What is subtracted and divided by where no statistics are needed."""
    if marker.channel is None or normalization.method == "none":
        return 0.0, 1.0
    if normalization.method == "fixed":
        low, high = _fixed(marker)
        return low, high - low
    low, high = _range(marker)
    if normalization.method == "arcsinh":
        return 0.0, float(np.arcsinh(high / normalization.numbers[0]))
    return low, high - low


def _fixed(marker: MatchedMarker) -> tuple[float, float]:
    if marker.marker.range is None:
        raise DataError(
            f"{marker.name} has no max in the panel, which --normalize fixed needs; "
            "give it there, or take --normalize dtype"
        )
    return marker.marker.range


def _range(marker: MatchedMarker) -> tuple[float, float]:
    """The range of the type, or the panel's where the type has none."""
    dtype = np.dtype(marker.dtype)
    if dtype.kind == "u":
        return 0.0, float(np.iinfo(dtype).max)
    if marker.marker.range is None:
        raise DataError(
            f"{marker.name} is {dtype.name}, which has no largest value; give min and max in the "
            "panel, or --normalize percentile:1,99 or zscore"
        )
    return marker.marker.range


def without_background(pixels: NDArray[Any], matched: MatchedPanel) -> Planes:
    """Subtract from each marker its scaled background; what would be negative is 0.

    Args:
        pixels: (..., C) as they were read, C the channels of `matched.channels`.
        matched: where the slide has its markers.

    Returns:
        float32 (..., M) in the units of the file; a marker that the slide lacks is 0.
    """
    planes = np.zeros((*pixels.shape[:-1], len(matched.markers)), np.float32)
    for place, marker in enumerate(matched.markers):
        if marker.channel is not None:
            planes[..., place] = _values(pixels, marker, matched)
    return planes


def _values(pixels: NDArray[Any], marker: MatchedMarker, matched: MatchedPanel) -> Planes:
    """What one marker shows, float32 (...), its background subtracted."""
    assert marker.channel is not None
    values = _plane(pixels, matched.channels.index(marker.channel))
    if marker.background is not None:
        source = _plane(pixels, matched.channels.index(marker.background))
        source *= np.float32(marker.background_scale)
        values -= source
        np.maximum(values, 0, out=values)
    return values


def _plane(pixels: NDArray[Any], place: int) -> Planes:
    """One channel in float32, 0 where a float file has no number, as where tissue is found."""
    plane: Planes = pixels[..., place].astype(np.float32)
    if pixels.dtype.kind == "f":
        np.nan_to_num(plane, copy=False, posinf=0, neginf=0)
    return plane
