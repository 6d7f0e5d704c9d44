"""How a file says its channels were taken: their names, exposures and the size of a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

from wsi_tools.slide.info import Channel, Resolution

__all__ = ["Acquisition", "channels"]


@dataclass(frozen=True)
class Acquisition:
    """What a format's own metadata tell.

    Attributes:
        vendor: the format.
        names: one per channel, empty where the file names none; or no names at all.
        exposures_ms: one per channel, None where unknown; or none at all.
        resolutions: what the file states, the most trustworthy first.
    """

    vendor: str
    names: tuple[str, ...] = ()
    exposures_ms: tuple[float | None, ...] = ()
    resolutions: tuple[Resolution, ...] = ()


def channels(told: Acquisition, count: int, dtype: str) -> tuple[Channel, ...]:
    """The channels as every slide lists them; one without a name is called "channel-0" and so on.

    Names or exposures that are not as many as the channels belong to something else.
    """
    names: Sequence[str] = told.names if len(told.names) == count else ("",) * count
    exposures = told.exposures_ms if len(told.exposures_ms) == count else (None,) * count
    return tuple(
        Channel(index, name.strip() or f"channel-{index}", dtype, exposure)
        for index, (name, exposure) in enumerate(zip(names, exposures, strict=True))
    )
