"""The scale of every marker as it was measured on tissue: of one slide, or of named ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.channels.normalization import Normalization
from wsi_tools.errors import DataError, InputError

__all__ = ["Statistics", "combined", "fitted"]


@dataclass(frozen=True)
class Statistics:
    """What is subtracted from each marker, and what the rest is divided by.

    Attributes:
        normalization: the rule they were fitted for, as it is typed.
        markers: the names of the markers.
        low: the lower percentile, or the mean.
        span: the distance to the upper percentile, or the standard deviation; 0 where a marker has
            one value on all tissue.
        slides: the names of the slides they were fitted on.
    """

    normalization: str
    markers: tuple[str, ...]
    low: tuple[float, ...]
    span: tuple[float, ...]
    slides: tuple[str, ...] = ()

    def of(self, name: str) -> tuple[float, float]:
        """(low, span) of one marker."""
        place = self.markers.index(name)
        return self.low[place], self.span[place]

    def refuse_unless_for(self, normalization: Normalization, names: Sequence[str]) -> None:
        """Make sure that they fit a rule and its markers.

        Raises:
            InputError: they do not.
        """
        if self.normalization != str(normalization):
            raise InputError(
                f"the statistics were fitted for --normalize {self.normalization}, and "
                f"{normalization} is asked; fit them anew"
            )
        if lacking := [name for name in names if name not in self.markers]:
            raise InputError(f"the statistics know no {', '.join(lacking)}; fit them anew")

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON: the numbers by marker."""
        numbers = {
            name: {"low": low, "span": span}
            for name, low, span in zip(self.markers, self.low, self.span, strict=True)
        }
        return {
            "normalization": self.normalization,
            "markers": numbers,
            "slides": list(self.slides),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Statistics":
        """Read what `to_json` gave."""
        markers = values["markers"]
        return cls(
            values["normalization"],
            tuple(markers),
            tuple(float(each["low"]) for each in markers.values()),
            tuple(float(each["span"]) for each in markers.values()),
            tuple(values["slides"]),
        )


def fitted(
    normalization: Normalization, markers: Sequence[str], values: NDArray[Any], slide: str
) -> Statistics:
    """Measure the tissue of one slide.

    Args:
        normalization: a rule that needs statistics.
        markers: names of the markers.
        values: (n, M) the pixels of tissue, backgrounds subtracted.
        slide: the slide's name.

    Raises:
        DataError: there is no tissue to measure.
    """
    if not len(values):
        raise DataError(
            f"{slide}: has no tissue to fit --normalize {normalization} on; "
            "take another --method, or --normalize dtype"
        )
    low, span = _measured(normalization, np.asarray(values, np.float64))
    return Statistics(
        str(normalization), tuple(markers), tuple(low.tolist()), tuple(span.tolist()), (slide,)
    )


def _measured(
    normalization: Normalization, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if normalization.method == "zscore":
        return values.mean(axis=0), values.std(axis=0)
    low, high = np.percentile(values, normalization.numbers, axis=0)  # (M,) each
    return low, high - low


def combined(statistics: Sequence[Statistics]) -> Statistics:
    """One scale for a cohort, every slide counting as much as any other.

    Percentiles are the medians of the slides' own. Means and standard deviations are those of all
    slides taken together: variance = mean of (sd² + mean²) − (mean of means)².

    Raises:
        InputError: there are none, or they are of different markers or rules.
    """
    if not statistics:
        raise InputError("--normalize-fit names no slide that is there; name at least one")
    first = statistics[0]
    if any(
        (each.normalization, each.markers) != (first.normalization, first.markers)
        for each in statistics
    ):
        raise InputError(
            "statistics of different markers or rules cannot be combined; fit them anew"
        )
    lows = np.array([each.low for each in statistics])  # (slides, M)
    spans = np.array([each.span for each in statistics])
    low, span = _together(first.normalization, lows, spans)
    slides = tuple(name for each in statistics for name in each.slides)
    return Statistics(
        first.normalization, first.markers, tuple(low.tolist()), tuple(span.tolist()), slides
    )


def _together(
    rule: str, lows: NDArray[np.float64], spans: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if rule == "zscore":
        mean = lows.mean(axis=0)
        variance = (spans**2 + lows**2).mean(axis=0) - mean**2
        return mean, np.sqrt(np.maximum(variance, 0))
    low = np.median(lows, axis=0)
    return low, np.median(lows + spans, axis=0) - low
