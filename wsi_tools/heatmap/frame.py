"""Where on a slide a picture lies: a box of level 0, and the size in pixels it is drawn at."""

from dataclasses import dataclass
from math import ceil, floor

from wsi_tools.slide import SlideInfo

__all__ = ["LONGEST_PX", "Frame", "frame_of"]

Pair = tuple[float, float]

LONGEST_PX = 1200  # a picture that fills a screen and stays under half a megabyte


@dataclass(frozen=True)
class Frame:
    """A picture's place on a slide.

    Attributes:
        box: (x, y, width, height) in level-0 pixels, not rounded.
        size_px: (width, height) of the picture.
        mpp: (x, y) µm per level-0 pixel.
    """

    box: tuple[float, float, float, float]
    size_px: tuple[int, int]
    mpp: Pair

    @property
    def scale(self) -> Pair:
        """(x, y) level-0 pixels per pixel of the picture."""
        return self.box[2] / self.size_px[0], self.box[3] / self.size_px[1]

    @property
    def um_per_px(self) -> float:
        """µm per pixel of the picture, along x."""
        return self.scale[0] * self.mpp[0]


def frame_of(
    info: SlideInfo, scale: Pair, longest_px: int = LONGEST_PX, *, enlarge: bool = False
) -> Frame:
    """The scanned part of a slide, in whole pixels of its thumbnail.

    Args:
        info: the slide.
        scale: (x, y) level-0 pixels per pixel of the thumbnail.
        longest_px: the longer side of the picture; fewer where the slide has no more.
        enlarge: not fewer.
    """
    bounds, mpp = info.bounds, info.mpp
    x, width = _whole(bounds.x, bounds.width, scale[0], info.size[0])
    y, height = _whole(bounds.y, bounds.height, scale[1], info.size[1])
    wide, high = width * mpp[0], height * mpp[1]  # µm
    most = max(width, height)
    px_per_um = (longest_px if enlarge else min(longest_px, most)) / max(wide, high)
    size = max(1, round(wide * px_per_um)), max(1, round(high * px_per_um))
    return Frame((x, y, width, height), size, mpp)


def _whole(start: float, length: float, scale: float, end: float) -> Pair:
    """Start and length of a span, widened to whole pixels of the thumbnail."""
    first = floor(start / scale + 1e-6) * scale
    last = min(ceil((start + length) / scale - 1e-6) * scale, end)
    return first, last - first
