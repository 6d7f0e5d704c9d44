"""What is known of a slide without looking at its pixels: plain values, one per fact."""

from dataclasses import dataclass
from pathlib import Path

from wsi_tools.errors import SlideError

__all__ = ["Bounds", "Channel", "Layout", "Level", "Resolution", "SlideInfo"]


@dataclass(frozen=True)
class Level:
    """One picture of the pyramid.

    Attributes:
        size: (width, height) in pixels of this level.
        downsample: level-0 pixels per pixel of this level; 1.0 for level 0.
    """

    size: tuple[int, int]
    downsample: float


@dataclass(frozen=True)
class Channel:
    """One channel.

    Attributes:
        index: its place in the file.
        name: as the file gives it; "channel-0" and so on where it gives none.
        dtype: as numpy writes it.
        exposure_ms: for how long light was gathered, in milliseconds, where the file says so.
    """

    index: int
    name: str
    dtype: str
    exposure_ms: float | None = None


@dataclass(frozen=True)
class Resolution:
    """One statement about the size of a level-0 pixel.

    Attributes:
        source: who says so, such as "openslide.mpp-x", "tiff.resolution" or "--mpp-override".
        mpp_x: micrometres per level-0 pixel along x.
        mpp_y: the same along y.
        refused: why this statement cannot be believed; empty where it can.
    """

    source: str
    mpp_x: float
    mpp_y: float
    refused: str = ""


@dataclass(frozen=True)
class Bounds:
    """The rectangle of level 0 that was scanned, in level-0 pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """How level 0 is stored; `tile_px` is (width, height), None where there are no tiles."""

    tile_px: tuple[int, int] | None
    compression: str


@dataclass(frozen=True)
class SlideInfo:
    """Everything `wsitools info` says of one slide.

    Attributes:
        path: the file as it was named.
        reader: the name in `READERS` that reads it.
        vendor: the format as the reader calls it.
        levels: finest first.
        resolutions: every candidate for the pixel size, the strongest first.
        resolution: the first candidate that is not refused; None where there is none.
        bounds: the scanned rectangle; the whole of level 0 where the file names none.
        channels: what `Slide.read` gives, in its order; red, green and blue for brightfield.
        layout: how level 0 is stored.
        objective_power: as the file states it; reported, never turned into a pixel size.
        tried: (reader, reason) for each reader that was asked first and could not open it.
        warnings: what a person should know before trusting the slide.
        fingerprint: the same for the same bytes, wherever the file lies.
        multiplex: each channel is a marker of its own; False for red, green and blue.
    """

    path: Path
    reader: str
    vendor: str
    levels: tuple[Level, ...]
    resolutions: tuple[Resolution, ...]
    resolution: Resolution | None
    bounds: Bounds
    channels: tuple[Channel, ...]
    layout: Layout
    objective_power: float | None
    tried: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    fingerprint: str
    multiplex: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of level 0 in pixels."""
        return self.levels[0].size

    @property
    def mpp(self) -> tuple[float, float]:
        """(x, y) micrometres per level-0 pixel.

        Raises:
            SlideError: no believable resolution is known.
        """
        if self.resolution is None:
            raise SlideError(f"{self.path.name}: {self._why_no_resolution()}")
        return self.resolution.mpp_x, self.resolution.mpp_y

    def _why_no_resolution(self) -> str:
        remedy = "give it with --mpp-override 0.25"
        if not self.resolutions:
            return f"no resolution in the file; {remedy}"
        reasons = ", ".join(f"{each.source}: {each.refused}" for each in self.resolutions)
        return f"no believable resolution in the file ({reasons}); {remedy}"
