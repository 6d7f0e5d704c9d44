"""Any rectangle of a slide, in floating-point level-0 pixels, as a picture of any size.

The filter: an output pixel is the mean of the slide area it covers, every source pixel weighted by
the part of it inside. Where the output is finer than the source, that area is widened to one source
pixel about its centre, which is linear interpolation. Values are rounded to floor(x + 0.5).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wsi_tools.slide import Slide

__all__ = ["read_box"]

Box = tuple[float, float, float, float]
Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]

BLOCK_PX = 32  # output pixels per matrix product: wide enough for BLAS, narrow enough for the band
SNAP = 1e-6  # px of a level; an edge this near to a whole pixel lies on it
HALF = 0.5 + 1e-4  # float32 noise must not round a tie down; 1/64² is the next value below a tie


@dataclass(frozen=True)
class _Axis:
    """One axis of the request: `count` output pixels of `step` source pixels, from `start`."""

    start: float
    step: float
    count: int

    @property
    def first(self) -> int:
        """The first source pixel needed."""
        return floor(self._centre(0) - self._reach + SNAP)

    @property
    def end(self) -> int:
        """One past the last source pixel needed."""
        return ceil(self._centre(self.count - 1) + self._reach - SNAP)

    @property
    def factor(self) -> int:
        """The whole number of source pixels per output pixel, if edges meet edges; otherwise 0."""
        step = round(self.step)
        aligned = abs(self.start - round(self.start)) < SNAP
        return step if aligned and abs(self.step - step) * self.count < SNAP else 0

    @property
    def _reach(self) -> float:
        return max(self.step, 1.0) / 2

    def _centre(self, index: int) -> float:
        return self.start + (index + 0.5) * self.step

    def bands(self) -> Iterator[tuple[slice, slice, Planes]]:
        """Yield (output pixels, source pixels, weights (outputs, sources)), block by block."""
        for begin in range(0, self.count, BLOCK_PX):
            out = np.arange(begin, min(begin + BLOCK_PX, self.count))
            centres = self.start - self.first + (out + 0.5) * self.step
            lows, highs = centres - self._reach, centres + self._reach
            lowest, highest = floor(lows[0] + SNAP), ceil(highs[-1] - SNAP)
            pixels = np.arange(lowest, highest)
            inside = np.minimum(highs[:, None], pixels + 1) - np.maximum(lows[:, None], pixels)
            weights = np.clip(inside, 0.0, None) / (2 * self._reach)
            yield (
                slice(begin, begin + len(out)),
                slice(lowest, highest),
                weights.astype(np.float32),
            )


def read_box(slide: "Slide", box: Box, size_px: tuple[int, int], level: int) -> Pixels:
    """Read the rectangle `box` of level 0 as a picture of `size_px`, sampled from one level.

    Args:
        slide: an open slide.
        box: (x, y, width, height) in level-0 pixels, not rounded to anything.
        size_px: (width, height) of the picture.
        level: the level whose pixels are averaged.

    Returns:
        uint8 (height, width, 3); what lies outside the slide is white.

    Raises:
        SlideError: the pixels cannot be decoded.
    """
    downsample = slide.info.levels[level].downsample
    x, y = (
        _Axis(start / downsample, length / downsample / count, count)
        for start, length, count in zip(box[:2], box[2:], size_px, strict=True)
    )
    source = slide.read(x.first, y.first, x.end - x.first, y.end - y.first, level)
    return _resampled(source, x, y)


def _resampled(source: Pixels, x: _Axis, y: _Axis) -> Pixels:
    if x.factor != y.factor or x.factor == 0:
        return _area_mean(source, x, y)
    if x.factor == 1:
        return source
    return _block_mean(source, x.factor, (x.count, y.count))


def _area_mean(source: Pixels, x: _Axis, y: _Axis) -> Pixels:
    height, width, channels = source.shape
    planes = np.empty((channels, height, width), np.float32)  # one plane per colour: no transposes
    for channel, plane in enumerate(cv2.split(source)):
        planes[channel] = plane
    narrow = np.empty((channels, height, x.count), np.float32)
    for out, within, weights in x.bands():
        narrow[:, :, out] = planes[:, :, within] @ weights.T  # (colours, height, outputs)
    small = np.empty((channels, y.count, x.count), np.float32)
    for out, within, weights in y.bands():
        small[:, out] = weights @ narrow[:, within]  # (colours, outputs, width)
    merged: Pixels = cv2.merge(list(_rounded(small)))
    return merged


def _block_mean(source: Pixels, factor: int, size_px: tuple[int, int]) -> Pixels:
    if factor == 2:  # OpenCV's integer path, (a + b + c + d + 2) >> 2
        halved: Pixels = cv2.resize(source, size_px, interpolation=cv2.INTER_AREA)
        return halved
    mean = cv2.resize(source.astype(np.float32), size_px, interpolation=cv2.INTER_AREA)
    return _rounded(mean)


def _rounded(values: Planes) -> Pixels:
    return (values + np.float32(HALF)).astype(np.uint8)
