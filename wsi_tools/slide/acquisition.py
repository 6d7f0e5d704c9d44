"""How a file says its channels were taken: their names, exposures and the size of a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Channel, Resolution

__all__ = ["Acquisition", "channels"]


@dataclass(frozen=True)
class Acquisition:
    """What a format's own metadata tell.

    Attributes:
        vendor: the format.
        count: how many channels they tell of; 0 where they do not say.
        names: one per channel, empty where the file names none; or no names at all.
        exposures_ms: one per channel, None where unknown; or none at all.
        resolutions: what the file states, the most trustworthy first.
    """

    vendor: str
    count: int = 0
    names: tuple[str, ...] = ()
    exposures_ms: tuple[float | None, ...] = ()
    resolutions: tuple[Resolution, ...] = ()


def channels(told: Acquisition, count: int, dtype: str) -> tuple[Channel, ...]:
    """The channels as every slide lists them; one without a name is called "channel-0" and so on.

    Names or exposures that are not as many as the channels belong to something else.

    Raises:
        SlideError: the metadata tell of another number of channels.
    """
    if told.count not in (0, count):
        raise SlideError(
            f"its metadata tell of {told.count} channels, and it holds {count}; it was cut short"
        )
    names: Sequence[str] = told.names if len(told.names) == count else ("",) * count
    exposures = told.exposures_ms if len(told.exposures_ms) == count else (None,) * count
    return tuple(
        Channel(index, name.strip() or f"channel-{index}", dtype, exposure)
        for index, (name, exposure) in enumerate(zip(names, exposures, strict=True))
    )
