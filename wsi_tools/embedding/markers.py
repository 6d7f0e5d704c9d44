"""Markers through a backbone made for colours: each marker is looked at as a grey picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import InputError

if TYPE_CHECKING:  # it imports torch, which choosing a way does not need
    from wsi_tools.embedding.backbones import Backbone

__all__ = ["WAYS", "MarkerBackbone", "colours_of"]

Planes = NDArray[np.float32]

WAYS = ("per-channel", "mean", "concat", "rgb")


def colours_of(channels_as: str) -> tuple[str, ...]:
    """The markers that stand for red, green and blue in ``rgb:R,G,B``; none for another way.

    Raises:
        InputError: there is no such way, or not three markers.
    """
    way, _, listed = channels_as.partition(":")
    names = tuple(name.strip() for name in listed.split(",")) if listed else ()
    if way not in WAYS or (way != "rgb" and names) or "" in names:
        raise InputError(
            f"--channels-as {channels_as}: choose from per-channel, mean, concat and "
            "rgb:RED,GREEN,BLUE"
        )
    if way == "rgb" and not len(names) == len({name.casefold() for name in names}) == 3:
        raise InputError(f"--channels-as {channels_as}: name three markers, rgb:RED,GREEN,BLUE")
    return names


@dataclass(frozen=True)
class MarkerBackbone:
    """A backbone that looks at the markers of a tile.

    The network sees B·P grey pictures at once, P being the markers that the slide has. A marker
    that it lacks is not looked at, for black is what a stain without signal looks like: its
    features are zeros, and it has no part in the mean.

    Attributes:
        backbone: takes colours.
        way: ``per-channel`` gives (M, D), ``concat`` (M·D,), ``mean`` their mean (D,), and ``rgb``
            (D,) of three markers seen as red, green and blue.
        present: (M,) bool, which of the markers the slide has.
    """

    backbone: "Backbone"
    way: str
    present: tuple[bool, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one tile's features."""
        return shape_of(self.way, len(self.present), self.backbone.width)

    def embed_pixels(self, planes: Planes) -> NDArray[np.float32]:
        """Planes (B, M, H, W) float32 of 0…1 → features (B, *shape) float32.

        Raises:
            UnavailableError: the device has no memory for one picture.
        """
        if self.way == "rgb":
            return self.backbone.embed_pixels(np.ascontiguousarray(np.moveaxis(planes, 1, 3)))
        seen = planes if all(self.present) else planes[:, self.present]  # (B, P, H, W)
        rows = self.backbone.embed_pixels(seen.reshape(-1, *seen.shape[2:], 1))  # (B·P, D)
        return self._arranged(rows.reshape(*seen.shape[:2], rows.shape[1]))  # B may be 0

    def _arranged(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (B, P, D) of what is there → (B, *shape)."""
        if self.way == "mean":
            mean: NDArray[np.float32] = features.mean(axis=1)
            return mean
        tiles, _, width = features.shape
        rows = np.zeros((tiles, len(self.present), width), np.float32)  # (B, M, D)
        rows[:, self.present] = features
        return rows.reshape(tiles, *self.shape)


def shape_of(way: str, markers: int, width: int) -> tuple[int, ...]:
    """The shape of one tile's features: M markers of D values, or a vector."""
    shapes = {"per-channel": (markers, width), "concat": (markers * width,)}
    return shapes.get(way, (width,))
