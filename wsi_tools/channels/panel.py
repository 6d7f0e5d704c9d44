"""Which markers a study measures: their names, roles, backgrounds and ranges, in the store's order.

Names are compared without regard to case; a marker answers to its aliases too.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from wsi_tools.errors import DataError, InputError

if TYPE_CHECKING:
    from wsi_tools.channels.matching import MatchedPanel
    from wsi_tools.slide import Channel, SlideInfo

__all__ = [
    "ROLES",
    "Marker",
    "Panel",
    "blaming",
    "faults",
    "implicit_panel",
    "is_nuclear",
    "is_unnamed",
]

ROLES = ("marker", "nuclear", "background", "ignore")

# Dyes and targets that fill the nucleus, with what labs append: "DAPI_01", "DNA1(Ir191)".
NUCLEAR = re.compile(
    r"(dapi|hoechst|dna|draq[57]|sytox|h?h3|histone[ _-]?h3|nuc(lear|lei|leus)|ir19[13]|19[13]ir)"
    r"[\s_:.-]*\d*\s*(\(.*\))?",
    re.IGNORECASE,
)
UNNAMED = re.compile(r"(channel[\s:_-]*\d+(:\d+)*)?", re.IGNORECASE)  # what writers call no name


@dataclass(frozen=True)
class Marker:
    """One marker of a panel.

    Attributes:
        name: what it is called in the store.
        aliases: other names that files give it.
        role: "marker", "nuclear", "background" (subtracted) or "ignore".
        channel_index: its channel in every file, from 0; beats all names.
        background: the name of the marker that is subtracted from it.
        background_scale: what the background is multiplied with; None takes the ratio of the
            exposures where both are known, else 1.
        low: the value that becomes 0 where ranges are fixed; None is 0.
        high: the value that becomes 1 where ranges are fixed.
        exposure_ms: milliseconds; beats what the file says.
    """

    name: str
    aliases: tuple[str, ...] = ()
    role: str = "marker"
    channel_index: int | None = None
    background: str | None = None
    background_scale: float | None = None
    low: float | None = None
    high: float | None = None
    exposure_ms: float | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Its name and aliases as they are compared, each once."""
        return tuple(dict.fromkeys(key_of(name) for name in (self.name, *self.aliases)))

    @property
    def treatment(self) -> dict[str, Any]:
        """What the panel says of its values, ready for JSON; empty where it says nothing."""
        said = {
            "background": self.background,
            "background_scale": self.background_scale,
            "range": self.range,
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def range(self) -> tuple[float, float] | None:
        """The values that become 0 and 1 where ranges are fixed."""
        return None if self.high is None else (self.low or 0.0, self.high)


@dataclass(frozen=True)
class Panel:
    """The markers of a study, in the order of the store.

    Attributes:
        markers: every marker that is spoken of, backgrounds and ignored ones too.
        name: what the panel is called in a store; empty takes the hash of its markers.
        keep_background: markers of role "background" are embedded as well.

    Raises:
        DataError: a name is there twice, or a marker contradicts itself or the others.
    """

    markers: tuple[Marker, ...]
    name: str = ""
    keep_background: bool = False

    def __post_init__(self) -> None:
        for _, fault in faults(self.markers):
            raise DataError(f"panel {self.name or 'without a name'}: {fault}")
        if not self.name:
            object.__setattr__(self, "name", self._digest())

    def _digest(self) -> str:
        names = json.dumps([marker.name for marker in self.kept])
        return hashlib.sha256(names.encode()).hexdigest()[:12]

    @property
    def kept(self) -> tuple[Marker, ...]:
        """The markers that become planes of the output, in its order."""
        roles = ROLES[:3] if self.keep_background else ROLES[:2]
        return tuple(marker for marker in self.markers if marker.role in roles)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the markers that are kept."""
        return tuple(marker.name for marker in self.kept)

    @property
    def nuclear(self) -> tuple[str, ...]:
        """Every name that the first nuclear marker may have in a file; empty where none is."""
        found = [marker for marker in self.markers if marker.role == "nuclear"]
        return (found[0].name, *found[0].aliases) if found else ()

    def marker(self, name: str) -> Marker:
        """Find a marker by its name or an alias.

        Raises:
            InputError: the panel has none of that name.
        """
        for marker in self.markers:
            if key_of(name) in marker.keys:
                return marker
        known = ", ".join(marker.name for marker in self.markers)
        raise InputError(f"{name!r} is no marker of the panel; it has {known}")

    def with_background(self, name: str, scale: float | None = None) -> "Panel":
        """Subtract one marker from every other that has no background of its own.

        Raises:
            InputError: the panel has no marker of that name.
        """
        source = self.marker(name)
        return replace(self, markers=tuple(_less(each, source, scale) for each in self.markers))

    def matched(self, info: "SlideInfo", missing: str = "error") -> "MatchedPanel":
        """Find the markers among the channels of a slide; see `wsi_tools.channels.matching`."""
        from wsi_tools.channels.matching import matched  # the two know each other

        return matched(self, info, missing)

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        markers = [
            {name: value for name, value in asdict(marker).items() if value not in (None, ())}
            for marker in self.markers
        ]
        return {"name": self.name, "keep_background": self.keep_background, "markers": markers}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Panel":
        """Read what `to_json` gave."""
        markers = (
            Marker(**{**each, "aliases": tuple(each.get("aliases", ()))})
            for each in values["markers"]
        )
        return cls(tuple(markers), values["name"], values["keep_background"])

    @property
    def identity(self) -> dict[str, Any]:
        """What two slides must share for their features to be compared, marker by marker.

        Where a marker lies in a file, and what the file calls it, is not part of it.
        """
        return {
            marker.name: {"place": place, **marker.treatment}
            for place, marker in enumerate(self.kept)
        }


def _less(marker: Marker, source: Marker, scale: float | None) -> Marker:
    if marker is source:
        return replace(marker, role="background")
    if marker.background is not None or marker.role not in ROLES[:2]:
        return marker
    return replace(marker, background=source.name, background_scale=scale)


def implicit_panel(info: "SlideInfo") -> Panel:
    """The panel of a slide for which none is given: its channels by name, whatever their order.

    Channels without a name are called by their number, and found by it.

    Raises:
        DataError: two channels have the same name.
    """
    counts = Counter(key_of(channel.name) for channel in info.channels if not is_unnamed(channel))
    if twice := [name for name, count in counts.items() if count > 1]:
        where = [each.index for each in info.channels if key_of(each.name) == twice[0]]
        raise DataError(
            f"{info.path.name}: channels {', '.join(map(str, where))} are all called {twice[0]!r}; "
            "name them by channel_index in a --panel"
        )
    markers = [_implied(channel) for channel in info.channels]
    return Panel(tuple(sorted(markers, key=_by_name)))


@contextmanager
def blaming(info: "SlideInfo", panel: Panel | None) -> Iterator[None]:
    """Where no panel is given, a marker that is named and not there is the slide's lack.

    Raises:
        DataError: in the place of an InputError, so that the other slides are done.
    """
    try:
        yield
    except InputError as error:
        if panel is not None:
            raise
        raise DataError(f"{info.path.name}: {error}; no --panel was given") from error


def _implied(channel: "Channel") -> Marker:
    if is_unnamed(channel):
        return Marker(f"channel-{channel.index}", channel_index=channel.index)
    return Marker(channel.name, role="nuclear" if is_nuclear(channel.name) else "marker")


def _by_name(marker: Marker) -> tuple[int, str]:
    """Numbered channels by number, named ones by name."""
    return (-1 if marker.channel_index is None else marker.channel_index), key_of(marker.name)


def key_of(name: str) -> str:
    """A name as it is compared."""
    return name.strip().casefold()


def is_nuclear(name: str) -> bool:
    """Whether a name is a well-known one of a nuclear stain."""
    return NUCLEAR.fullmatch(name.strip()) is not None


def is_unnamed(channel: "Channel") -> bool:
    """Whether a file gives the channel no name that says anything."""
    return UNNAMED.fullmatch(channel.name.strip()) is not None


def faults(markers: Sequence[Marker]) -> Iterator[tuple[int, str]]:
    """What is wrong with a panel: (place of the marker, what and what next)."""
    for place, marker in enumerate(markers):
        yield from ((place, fault) for fault in _own_faults(marker))
        yield from ((place, fault) for fault in _shared(marker, markers[:place]))
        yield from ((place, fault) for fault in _background_faults(marker, markers))
    if not any(marker.role in ROLES[:2] for marker in markers):
        yield 0, "no marker is left to look at; give one the role marker"


def _own_faults(marker: Marker) -> Iterator[str]:
    if not marker.name.strip():
        yield "a marker without a name; fill in marker_name"
    if marker.role not in ROLES:
        yield f"the role {marker.role!r} of {marker.name} is not known; use {', '.join(ROLES)}"
    if marker.channel_index is not None and marker.channel_index < 0:
        yield f"channel_index {marker.channel_index} of {marker.name} is negative; count from 0"
    if not all(map(isfinite, marker.range or ())):
        yield f"the range of {marker.name} is not finite; correct min and max"
    if marker.range and marker.range[0] >= marker.range[1]:
        low, high = marker.range
        yield f"min {low:g} of {marker.name} is not below max {high:g}; correct one of them"
    if marker.low is not None and marker.high is None:
        yield f"{marker.name} has a min and no max; give both, or none"
    if not _is_scale(marker.background_scale) or not _is_scale(marker.exposure_ms):
        yield f"a scale or exposure of {marker.name} is no positive number; correct it"


def _is_scale(value: float | None) -> bool:
    return value is None or (isfinite(value) and value > 0)


def _shared(marker: Marker, before: Sequence[Marker]) -> Iterator[str]:
    for other in before:
        if common := set(marker.keys) & set(other.keys):
            yield f"{marker.name} and {other.name} share the name {min(common)!r}; rename one"
        if marker.channel_index is not None and marker.channel_index == other.channel_index:
            yield f"{marker.name} and {other.name} are both channel {other.channel_index}"


def _background_faults(marker: Marker, markers: Sequence[Marker]) -> Iterator[str]:
    if marker.background is None:
        return
    wanted = key_of(marker.background)
    if wanted in marker.keys:
        yield f"{marker.name} is its own background; name another channel, or none"
    if not any(wanted in other.keys for other in markers):
        yield f"the background {marker.background!r} of {marker.name} is not in the panel; add it"
