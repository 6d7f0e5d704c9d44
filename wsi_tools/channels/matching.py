"""A panel and a slide brought together: which channel each marker is, and what must be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsi_tools.channels.panel import Marker, Panel, is_unnamed, key_of
from wsi_tools.errors import DataError, InputError

if TYPE_CHECKING:
    from wsi_tools.slide import Channel, SlideInfo

__all__ = ["MISSING", "MatchedMarker", "MatchedPanel", "matched"]

MISSING = ("error", "zero", "drop")


@dataclass(frozen=True)
class MatchedMarker:
    """A marker and where one slide has it.

    Attributes:
        marker: as the panel has it.
        channel: its index in the file; None where the slide lacks it.
        dtype: of its pixels, as numpy writes it; empty where the slide lacks it.
        background: the index in the file of the channel that is subtracted.
        background_scale: what that is multiplied with.
    """

    marker: Marker
    channel: int | None
    dtype: str
    background: int | None = None
    background_scale: float = 1.0

    @property
    def name(self) -> str:
        """The marker's name."""
        return self.marker.name


@dataclass(frozen=True)
class MatchedPanel:
    """A panel as one slide has it.

    Attributes:
        panel: what was asked for.
        markers: those of the output, in its order; the missing ones too unless they are dropped.
        missing: the names of those that the slide lacks.
        warnings: where a channel_index and the file's names contradict each other.
    """

    panel: Panel
    markers: tuple[MatchedMarker, ...]
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the output's planes."""
        return tuple(each.name for each in self.markers)

    @property
    def present(self) -> tuple[bool, ...]:
        """Whether the slide has each plane; where it has not, the plane is a masked zero."""
        return tuple(each.channel is not None for each in self.markers)

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels to read, by their index in the file: what `Slide.only` takes."""
        needed = {each.channel for each in self.markers} | {
            each.background for each in self.markers
        }
        return tuple(sorted(channel for channel in needed if channel is not None))

    def to_json(self) -> dict[str, Any]:
        """Where each marker was found, ready for JSON."""
        return {
            each.name: {
                "channel": each.channel,
                "background": each.background,
                "background_scale": each.background_scale,
            }
            for each in self.markers
        }


def matched(panel: Panel, info: "SlideInfo", missing: str = "error") -> MatchedPanel:
    """Find the markers of a panel among the channels of a slide.

    A marker with a channel_index is that channel. The others are found by name. Where a file names
    no channel at all, and the panel no index, the rows of the panel are the channels in their
    order, as in MCMICRO.

    Args:
        panel: the markers.
        info: the slide.
        missing: what becomes of a marker that the slide lacks: "error", "zero" or "drop".

    Raises:
        InputError: there is no such policy.
        DataError: a marker is missing, is two channels, or shares one; or the numbers differ where
            the order decides; or a background is missing, whatever the policy.
    """
    if missing not in MISSING:
        raise InputError(f"--missing-marker {missing} is not known; use {', '.join(MISSING)}")
    found = _found(panel, info)
    _refuse_missing(panel, info, found, missing)
    markers = [
        _with_background(marker, found, panel)
        for marker in panel.kept
        if missing != "drop" or marker.name in found
    ]
    if not any(marker.channel is not None for marker in markers):
        raise DataError(f"{_told(panel, info)} has none of its markers; correct the panel")
    lacking = tuple(marker.name for marker in panel.kept if marker.name not in found)
    return MatchedPanel(panel, tuple(markers), lacking, tuple(_contradictions(found, panel, info)))


def _found(panel: Panel, info: "SlideInfo") -> dict[str, "Channel"]:
    """The channel of every marker that the slide has, by the marker's name."""
    if _in_order(panel, info):
        return _by_place(panel, info)
    found = {}
    for marker in panel.markers:
        channel = _by_index(marker, panel, info) or _by_name(marker, panel, info)
        if channel is not None:
            found[marker.name] = channel
    _refuse_shared(panel, info, found)
    return found


def _in_order(panel: Panel, info: "SlideInfo") -> bool:
    numbered = any(marker.channel_index is not None for marker in panel.markers)
    return not numbered and all(map(is_unnamed, info.channels))


def _by_place(panel: Panel, info: "SlideInfo") -> dict[str, "Channel"]:
    if len(panel.markers) != len(info.channels):
        raise DataError(
            f"{info.path.name}: has {len(info.channels)} channels without names, and panel "
            f"{panel.name} {len(panel.markers)} markers; list every channel, or give channel_index"
        )
    names = (marker.name for marker in panel.markers)
    return dict(zip(names, info.channels, strict=True))


def _by_index(marker: Marker, panel: Panel, info: "SlideInfo") -> "Channel | None":
    if marker.channel_index is None:
        return None
    if marker.channel_index >= len(info.channels):
        raise DataError(
            f"{info.path.name}: has {len(info.channels)} channels, and panel {panel.name} puts "
            f"{marker.name} at channel_index {marker.channel_index} (from 0); correct the panel"
        )
    return info.channels[marker.channel_index]


def _by_name(marker: Marker, panel: Panel, info: "SlideInfo") -> "Channel | None":
    found = [channel for channel in info.channels if key_of(channel.name) in marker.keys]
    if len(found) > 1:
        where = " and ".join(f"{each.index} ({each.name})" for each in found)
        raise DataError(
            f"{info.path.name}: {marker.name} of panel {panel.name} is both channels {where}; "
            "say which by channel_index"
        )
    return found[0] if found else None


def _refuse_shared(panel: Panel, info: "SlideInfo", found: dict[str, "Channel"]) -> None:
    names: dict[int, str] = {}
    for name, channel in found.items():
        if channel.index in names:
            raise DataError(
                f"{info.path.name}: {names[channel.index]} and {name} of panel {panel.name} are "
                f"both channel {channel.index}; correct the panel"
            )
        names[channel.index] = name


def _refuse_missing(
    panel: Panel, info: "SlideInfo", found: dict[str, "Channel"], missing: str
) -> None:
    lacking = [marker.name for marker in panel.kept if marker.name not in found]
    if lacking and missing == "error":
        raise DataError(
            f"{_told(panel, info)} lacks {', '.join(lacking)}; it has {_listed(info)}; "
            "add an alias or a channel_index to the panel, or pass --missing-marker zero or drop"
        )


def _told(panel: Panel, info: "SlideInfo") -> str:
    return f"{info.path.name}: of panel {panel.name} the slide"


def _listed(info: "SlideInfo") -> str:
    return ", ".join(channel.name or f"channel {channel.index}" for channel in info.channels)


def _with_background(marker: Marker, found: dict[str, "Channel"], panel: Panel) -> MatchedMarker:
    channel = found.get(marker.name)
    if channel is None:
        return MatchedMarker(marker, None, "")
    if marker.background is None:
        return MatchedMarker(marker, channel.index, channel.dtype)
    source = panel.marker(marker.background)
    if source.name not in found:
        raise DataError(
            f"panel {panel.name}: the background {source.name} of {marker.name} is not among the "
            "slide's channels; add an alias, or take the background out of the panel"
        )
    scale = _scale(marker, channel, source, found[source.name])
    return MatchedMarker(marker, channel.index, channel.dtype, found[source.name].index, scale)


def _scale(marker: Marker, own: "Channel", source: Marker, other: "Channel") -> float:
    """What a background is multiplied with: as given, or the ratio of the exposures, or 1."""
    if marker.background_scale is not None:
        return marker.background_scale
    exposure_ms = marker.exposure_ms or own.exposure_ms
    background_ms = source.exposure_ms or other.exposure_ms
    return exposure_ms / background_ms if exposure_ms and background_ms else 1.0


def _contradictions(found: dict[str, "Channel"], panel: Panel, info: "SlideInfo") -> Sequence[str]:
    return [
        f"{info.path.name}: channel {found[each.name].index} is called {found[each.name].name!r} "
        f"in the file and {each.name} in panel {panel.name}; channel_index decides"
        for each in panel.markers
        if each.channel_index is not None
        and not is_unnamed(found[each.name])
        and key_of(found[each.name].name) not in each.keys
    ]
