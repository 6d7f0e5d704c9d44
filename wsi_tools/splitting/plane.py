"""The values of one marker at level 0, block by block: as stored, or changed as was asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock, local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.channels import (
    ChannelTransform,
    MatchedMarker,
    MatchedPanel,
    Normalization,
    Statistics,
)
from wsi_tools.channels.transform import without_background
from wsi_tools.slide import Slide
from wsi_tools.splitting.request import SplitRequest

__all__ = ["Block", "marker_plane"]

Block = Callable[[int, int, int, int], NDArray[Any]]
"""(x, y, width, height) in pixels of a level → (height, width); several threads may call it."""

Treatment = Callable[[NDArray[Any]], NDArray[Any]]


@contextmanager
def marker_plane(
    slide: Slide,
    matched: MatchedPanel,
    marker: MatchedMarker,
    request: SplitRequest,
    statistics: Statistics | None,
) -> Iterator[Block]:
    """Give the block reader of one marker; only its channel and its background are decoded.

    Raises:
        SlideError: the slide cannot be opened again; from the reader, a block cannot be decoded.
        DataError: the rule needs a range that the marker has not.
    """
    alone = replace(matched, markers=(marker,))
    treated = _treatment(alone, request, statistics)
    with slide.only(alone.channels) as shown, _a_handle_each(shown) as handle:

        def block(x: int, y: int, width: int, height: int) -> NDArray[Any]:
            return treated(handle().read(x, y, width, height, 0))

        yield block


def _treatment(
    alone: MatchedPanel, request: SplitRequest, statistics: Statistics | None
) -> Treatment:
    """From (height, width, C) as read to (height, width) as written."""
    (marker,) = alone.markers
    dtype = np.dtype(request.stored_dtype(marker))
    if request.normalization is None and request.dtype == "keep":
        return _as_stored(alone, marker, dtype)
    rule = request.normalization or Normalization("dtype")  # to fit into bytes
    transform = ChannelTransform(alone, rule, statistics)

    def scaled(pixels: NDArray[Any]) -> NDArray[Any]:
        values = transform(pixels[None])[0, 0]  # (1, h, w, C) → (h, w)
        return _in(values, dtype, is_share=rule.is_bounded)

    return scaled


def _as_stored(alone: MatchedPanel, marker: MatchedMarker, dtype: np.dtype[Any]) -> Treatment:
    own = alone.channels.index(marker.channel)
    if marker.background is None:
        return lambda pixels: pixels[..., own]
    return lambda pixels: _in(without_background(pixels, alone)[..., 0], dtype, is_share=False)


def _in(values: NDArray[np.float32], dtype: np.dtype[Any], *, is_share: bool) -> NDArray[Any]:
    """Write values in a dtype; shares of 1 fill the range of whole numbers, floor(x + 0.5)."""
    if dtype.kind == "f":
        return values
    largest = np.float64(np.iinfo(dtype).max)
    wide = values * largest if is_share else values.astype(np.float64)
    return np.floor(np.clip(wide, 0, largest) + 0.5).astype(dtype)


@contextmanager
def _a_handle_each(slide: Slide) -> Iterator[Callable[[], Slide]]:
    """Give every thread that asks a handle of its own, and close them all in the end."""
    own, opened, lock = local(), list[Slide](), Lock()

    def handle() -> Slide:
        if not hasattr(own, "slide"):
            own.slide = slide.reopen()
            with lock:
                opened.append(own.slide)
        mine: Slide = own.slide
        return mine

    try:
        yield handle
    finally:
        for each in opened:
            each.close()
