"""The border where a store's attributes become values, checked on the way in."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wsi_tools import __version__
from wsi_tools.errors import StoreError
from wsi_tools.slide import Bounds, Channel, Layout, Level, Resolution, SlideInfo

LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "openslide-bin",
    "pillow",
    "tifffile",
    "torch",
    "timm",
)


@dataclass(frozen=True)
class SlideRecord:
    """The slide as a store remembers it; lengths in level-0 pixels, mpp in µm per pixel."""

    path: str
    size: tuple[int, int]
    reader: str
    vendor: str
    mpp_x: float
    mpp_y: float
    mpp_source: str
    levels: tuple[Level, ...]
    bounds: Bounds
    channels: tuple[Channel, ...]
    layout: Layout
    objective_power: float | None
    fingerprint: str
    multiplex: bool = False

    @classmethod
    def of(cls, info: SlideInfo) -> "SlideRecord":
        """Record an open slide.

        Raises:
            SlideError: the slide has no resolution.
        """
        mpp_x, mpp_y = info.mpp
        return cls(
            path=str(info.path.absolute()),
            size=info.size,
            reader=info.reader,
            vendor=info.vendor,
            mpp_x=mpp_x,
            mpp_y=mpp_y,
            mpp_source=info.resolution.source if info.resolution else "",
            levels=info.levels,
            bounds=info.bounds,
            channels=info.channels,
            layout=info.layout,
            objective_power=info.objective_power,
            fingerprint=info.fingerprint,
            multiplex=info.multiplex,
        )

    def info(self) -> SlideInfo:
        """The slide's facts again, as an open slide states them."""
        resolution = Resolution(self.mpp_source, self.mpp_x, self.mpp_y)
        return SlideInfo(
            path=Path(self.path),
            reader=self.reader,
            vendor=self.vendor,
            levels=self.levels,
            resolutions=(resolution,),
            resolution=resolution,
            bounds=self.bounds,
            channels=self.channels,
            layout=self.layout,
            objective_power=self.objective_power,
            tried=(),
            warnings=(),
            fingerprint=self.fingerprint,
            multiplex=self.multiplex,
        )

    def geometry(self) -> dict[str, Any]:
        """What coordinates depend on: a store made with another geometry is another store."""
        kept = ("size", "reader", "mpp_x", "mpp_y", "levels", "bounds", "fingerprint")
        record = asdict(self)
        return {name: record[name] for name in kept}


def parse_slide(store: Path, attributes: Mapping[str, Any]) -> SlideRecord:
    """Read the slide's record back.

    Raises:
        StoreError: a field is missing or of another type.
    """
    try:
        return TypeAdapter(SlideRecord).validate_python(attributes)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StoreError(
            f"{store}: the slide's record is damaged at {where!r}; delete it and run again"
        ) from None


def made_by(command: Mapping[str, Any]) -> dict[str, Any]:
    """Who made this: version, the resolved command, Python, and what touches numbers."""
    return {"version": __version__, "command": dict(command), "libraries": library_versions()}


def library_versions() -> dict[str, str]:
    """The installed versions of the libraries that touch numbers."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
