"""Slides: what every reader gives, the readers by name, and how one is opened."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from wsi_tools.registry import Registry
from wsi_tools.slide.info import Bounds, Channel, Layout, Level, Resolution, SlideInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "READERS",
    "Bounds",
    "Channel",
    "Layout",
    "Level",
    "Resolution",
    "Slide",
    "SlideInfo",
    "open_slide",
]

READERS = Registry(
    "wsi_tools.readers",
    {
        "tiff": "wsi_tools.slide.direct:TiffReader",
        "openslide": "wsi_tools.slide.openslide:OpenSlideReader",
        "tiffslide": "wsi_tools.slide.tiffslide:TiffSlideReader",
        "image": "wsi_tools.slide.image:ImageReader",
        "ome": "wsi_tools.slide.multiplex_tiff:MultiplexTiffReader",
        "ome-zarr": "wsi_tools.slide.ome_zarr:OmeZarrReader",
        "channel-folder": "wsi_tools.slide.channel_folder:ChannelFolderReader",
        "fluorescent-ndpi": "wsi_tools.slide.fluorescent_ndpi:FluorescentNdpiReader",
    },
)


class Slide(Protocol):
    """An open slide. One thread uses a handle at a time; each thread takes its own by `reopen`."""

    info: SlideInfo

    def read(self, x: int, y: int, width: int, height: int, level: int) -> "NDArray[Any]":
        """Read a rectangle of one level; x, y, width and height are pixels of that level.

        Whatever lies outside the slide is white, or zero in a multiplex slide; what is transparent
        is white.

        Returns:
            uint8 (height, width, 3), red first; of a multiplex slide (height, width, channels) in
            the file's own dtype, which is uint8, uint16 or float32, one plane per `info.channels`.

        Raises:
            SlideError: the pixels cannot be decoded; the handle may be unusable from then on.
        """
        ...

    def only(self, channels: Sequence[int]) -> "Slide":
        """Give a fresh handle that shows these of `info.channels`, in this order.

        No other channel is decoded. A handle that is reopened keeps the choice.

        Args:
            channels: places in `info.channels`.

        Raises:
            InputError: the slide is no multiplex one, or has no channel at such a place.
        """
        ...

    def shrinks(self, factor: int) -> bool:
        """Whether `shrunk` can be had: its reader decodes JPEG tiles that divide by the factor."""
        ...

    def shrunk(self, factor: int) -> "Slide":
        """Give a fresh handle whose levels are so many times smaller, straight from the JPEG.

        The coefficients of fine detail are left out, which is near to the mean of the pixels and
        not equal to it. A level keeps its number; its size and downsample are the smaller
        picture's.

        Args:
            factor: 2, 4 or 8.

        Raises:
            InputError: its tiles cannot be decoded so.
        """
        ...

    def reopen(self) -> "Slide":
        """Give a fresh handle on the same file, through the same reader."""
        ...

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_slide(
    path: str | Path,
    *,
    reader: str = "auto",
    mpp_override: float | None = None,
    mpp_fallback: float | None = None,
    mpp_manifest: float | None = None,
) -> Slide:
    """Open a slide with the reader named, or with the first that can by the rule of `auto`.

    `wsi_tools.slide.opening` states the rule.

    Args:
        path: the slide's main file.
        reader: a name in `READERS`, or "auto".
        mpp_override: micrometres per level-0 pixel that beat what the file states.
        mpp_fallback: the same, used only where the file states nothing believable.
        mpp_manifest: the same from a manifest's row, which beats everything.

    Raises:
        SlideError: no reader could open it; the message keeps every reader's reason.
        InputError: there is no reader of that name, or an mpp given is not 0.05 to 5 µm.
    """
    from wsi_tools.slide.opening import StatedMpp, open_with  # brings numpy; `--help` must not

    stated = StatedMpp(mpp_manifest, mpp_override, mpp_fallback)
    return open_with(Path(path), reader=reader, stated=stated)
