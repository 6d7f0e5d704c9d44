"""What a reader is, and what every reader refuses: the door for a new file format.

A reader is a class called with a path. It decodes rectangles that lie inside a level, as the file
holds them; `wsi_tools.slide.opening` adds everything around that: white outside the slide and under
transparency (zero in a multiplex slide), the resolution's priority, errors in one line. To add a
format, write such a class and name it in `READERS`, or in an entry point of the group
``wsi_tools.readers``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Bounds, Channel, Layout, Resolution

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MAX_DECODED_PX",
    "RGB",
    "Facts",
    "MultiplexReader",
    "Reader",
    "ShrinkingReader",
    "refuse_oversized",
    "refuse_piece",
]

MAX_DECODED_PX = 100_000_000  # a plain image, tile or strip is decoded whole: 300 MB of colour
MAX_SIDE_PX = 2**31 - 1  # coordinates are stored as int32
RGB = tuple(Channel(index, name, "uint8") for index, name in enumerate(("red", "green", "blue")))


@dataclass(frozen=True)
class Facts:
    """What a reader learns from the file before it decodes a pixel.

    Attributes:
        vendor: the format as the reader calls it.
        sizes: (width, height) per level, finest first.
        layout: how level 0 is stored.
        resolutions: what the file states, the most trustworthy first; nothing derived or guessed.
        bounds: the scanned rectangle, where the file names one.
        objective_power: as stated.
        channels: red, green and blue, unless the reader says otherwise.
        multiplex: each channel is a marker of its own, of the file's own dtype.
        warnings: what a person should know before trusting the slide.
    """

    vendor: str
    sizes: tuple[tuple[int, int], ...]
    layout: Layout
    resolutions: tuple[Resolution, ...] = ()
    bounds: Bounds | None = None
    objective_power: float | None = None
    channels: tuple[Channel, ...] = RGB
    multiplex: bool = False
    warnings: tuple[str, ...] = ()


class Reader(Protocol):
    """One open file. Never touches label or macro images: they carry names."""

    failures: ClassVar[tuple[type[Exception], ...]]
    """What opening or reading a bad file may raise: `SlideError`, and what the decoder raises."""

    facts: Facts

    def __init__(self, path: Path) -> None: ...

    def read(self, x: int, y: int, width: int, height: int, level: int) -> "NDArray[Any]":
        """Decode a rectangle inside the level: uint8 (height, width, 3), or 4 with straight alpha.

        Of a multiplex slide (height, width, channels) in the file's own dtype. All numbers are
        pixels of the level. The array may be a read-only view.
        """
        ...

    def reopen(self) -> "Reader":
        """Give a reader that another thread may use beside this one."""
        ...

    def close(self) -> None:
        """Let go of the file; called once."""
        ...


@runtime_checkable
class MultiplexReader(Reader, Protocol):
    """A reader whose channels can be chosen; those that were not are never decoded."""

    def only(self, channels: Sequence[int]) -> "MultiplexReader":
        """Give a reader of its own that shows these of its channels, in this order."""
        ...


@runtime_checkable
class ShrinkingReader(Reader, Protocol):
    """A reader whose decoder can leave out what a coarser picture does not show."""

    def shrinks(self, factor: int) -> bool:
        """Whether every level can be decoded at so many times less."""
        ...

    def shrunk(self, factor: int) -> "ShrinkingReader":
        """Give a reader of its own whose levels are so many times smaller, sides rounded up."""
        ...


def refuse_oversized(size: tuple[int, int]) -> None:
    """Refuse a level 0 that has no pixels, or more along a side than a coordinate can count."""
    if not all(1 <= side <= MAX_SIDE_PX for side in size):
        raise SlideError(f"claims {size[0]} × {size[1]} pixels")


def refuse_piece(size: tuple[int, int], what: str) -> None:
    """Refuse, before anything is allocated, a piece that must be decoded whole and is too large."""
    if size[0] * size[1] > MAX_DECODED_PX:
        raise SlideError(
            f"claims {size[0]} × {size[1]} pixels per {what}; the limit is {MAX_DECODED_PX:,}"
        )
