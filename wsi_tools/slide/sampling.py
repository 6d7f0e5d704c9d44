"""Any rectangle of a slide, in floating-point level-0 pixels, as a picture of any size.

The filter: an output pixel is the mean of the slide area it covers, every source pixel weighted by
the part of it inside. Where the output is finer than the source, that area is widened to one source
pixel about its centre, which is linear interpolation. Whole numbers are rounded to floor(x + 0.5),
floating-point values not at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wsi_tools.slide import Slide

__all__ = ["read_box"]

Box = tuple[float, float, float, float]
Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
Native = NDArray[Any]

BLOCK_PX = 32  # output pixels per matrix product: wide enough for BLAS, narrow enough for the band
SNAP = 1e-6  # px of a level; an edge this near to a whole pixel lies on it
HALF = 0.5 + 1e-4  # float32 noise must not round a tie down; 1/64² is the next value below a tie
HALF_16 = 0.5 + 1e-7  # the same of float64, whose noise on a uint16 is 1e-11


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

    def bands(self) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
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
                weights,
            )


def read_box(slide: "Slide", box: Box, size_px: tuple[int, int], level: int) -> Native:
    """Read the rectangle `box` of level 0 as a picture of `size_px`, sampled from one level.

    Args:
        slide: an open slide.
        box: (x, y, width, height) in level-0 pixels, not rounded to anything.
        size_px: (width, height) of the picture.
        level: the level whose pixels are averaged.

    Returns:
        uint8 (height, width, 3); what lies outside the slide is white. Of a multiplex slide
        (height, width, channels) in the slide's dtype, zero outside.

    Raises:
        SlideError: the pixels cannot be decoded.
    """
    downsample = slide.info.levels[level].downsample
    x, y = (
        _Axis(start / downsample, length / downsample / count, count)
        for start, length, count in zip(box[:2], box[2:], size_px, strict=True)
    )
    source = slide.read(x.first, y.first, x.end - x.first, y.end - y.first, level)
    is_colour = source.dtype == np.uint8 and source.shape[2] == 3
    return _resampled(source, x, y) if is_colour else _resampled_planes(source, x, y)


def _resampled_planes(source: Native, x: _Axis, y: _Axis) -> Native:
    """As `_resampled`, for any number of channels of any dtype; (h, w, C) plane after plane."""
    factor = x.factor if x.factor == y.factor else 0
    if factor == 1:
        return source
    planes = np.ascontiguousarray(source.transpose(2, 0, 1))  # (C, height, width)
    if factor and np.issubdtype(planes.dtype, np.integer):
        small = _block_mean_exact(planes, factor)
    else:
        small = _rounded_to(_area_mean_planes(planes, x, y), planes.dtype)
    return small.transpose(1, 2, 0)


def _area_mean_planes(planes: Native, x: _Axis, y: _Axis) -> Native:
    """Float planes (C, outputs, outputs); uint16 needs float64 to be exact at a tie."""
    kind = np.float64 if planes.dtype == np.uint16 else np.float32
    planes = planes.astype(kind, copy=False)
    narrow = np.empty((*planes.shape[:2], x.count), kind)
    for out, within, weights in x.bands():
        narrow[..., out] = planes[..., within] @ weights.T.astype(kind)  # (C, height, outputs)
    small = np.empty((len(planes), y.count, x.count), kind)
    for out, within, weights in y.bands():
        small[:, out] = weights.astype(kind) @ narrow[:, within]  # (C, outputs, width)
    return small


def _block_mean_exact(planes: Native, factor: int) -> Native:
    """floor(mean + 0.5) of blocks of whole pixels, in whole numbers."""
    rows = sum(planes[:, at::factor].astype(np.uint32) for at in range(factor))
    total = sum(np.asarray(rows)[:, :, at::factor] for at in range(factor))
    area = factor * factor
    mean: Native = ((2 * np.asarray(total) + area) // (2 * area)).astype(planes.dtype)
    return mean


def _rounded_to(values: Native, dtype: np.dtype[Any]) -> Native:
    if not np.issubdtype(dtype, np.integer):
        return values
    return (values + (HALF_16 if dtype == np.uint16 else np.float32(HALF))).astype(dtype)


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
        columns = weights.astype(np.float32).T
        narrow[:, :, out] = planes[:, :, within] @ columns  # (colours, height, outputs)
    small = np.empty((channels, y.count, x.count), np.float32)
    for out, within, weights in y.bands():
        small[:, out] = weights.astype(np.float32) @ narrow[:, within]  # (colours, outputs, width)
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
