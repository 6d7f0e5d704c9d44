"""From tiles as they were read to what a network takes: resized and normalised, on its device.

The reference is Pillow's antialiased resize, then (x - mean) / std of 0…1. Resized 8-bit pixels are
Pillow's to the bit on every device: one grey level in four hundred pixels was seen to move features
of a pretrained network by nearly a hundredth. Networks of reduced precision, which round by more
than that, may take a faster resize within one level: torch's on a CPU, a seventh of the time, and
single precision on a GPU, of which many have little double. Planes of multiplex
slides are resized by the same kernels in floating point, without rounding: their values have no
grey levels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from wsi_tools.errors import InputError

__all__ = ["TileTransform"]


@dataclass(frozen=True)
class TileTransform:
    """Resize to `px` × `px` and normalise by `mean` and `std` (per channel, of 0…1)."""

    px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in _KERNELS:
            offered = " or ".join(_KERNELS)
            raise InputError(f"interpolation {self.interpolation!r} is not offered; use {offered}")

    def __call__(self, tiles: Tensor, *, exact: bool = True) -> Tensor:
        """Turn tiles into (B, 3, px, px) float32, channels last, on the same device.

        Args:
            tiles: (B, H, W, 3) uint8; or (B, H, W, 1 or 3) float32 of 0…1, whose one plane stands
                for red, green and blue.
            exact: whether resized 8-bit pixels have to be the reference's, or may be a level off.
        """
        if tiles.is_floating_point():
            return self._of_planes(tiles)
        return self._normalise(self.resized(tiles, exact=exact))

    def resized(self, tiles: Tensor, *, exact: bool = True) -> Tensor:
        """(B, H, W, 3) → (B, px, px, 3) uint8; what is of that size already is left alone."""
        method = resize if exact else resize_nearly
        return method(tiles, self.px, self.interpolation)

    def _normalise(self, tiles: Tensor) -> Tensor:
        """(B, px, px, 3) uint8 → (B, 3, px, px); row by row, which vectorises, unlike 3 by 3."""
        mean, std = (
            torch.tensor(each, device=tiles.device).mul_(255).repeat(self.px)  # (px · 3,)
            for each in (self.mean, self.std)
        )
        rows = tiles.to(torch.float32, copy=True).view(-1, self.px * 3)  # (B · px, px · 3)
        return rows.sub_(mean).div_(std).view(-1, self.px, self.px, 3).permute(0, 3, 1, 2)

    def _of_planes(self, tiles: Tensor) -> Tensor:
        planes = tiles.permute(0, 3, 1, 2)  # (B, 1 or 3, H, W)
        if planes.shape[2:] != (self.px, self.px):
            planes = resample_planes(planes, self.px, self.interpolation)
        mean = torch.tensor(self.mean, device=planes.device)[:, None, None]  # (3, 1, 1)
        std = torch.tensor(self.std, device=planes.device)[:, None, None]
        planes = planes.expand(-1, 3, -1, -1)
        pixels = planes.to(torch.float32, memory_format=torch.channels_last, copy=True)
        return pixels.sub_(mean).div_(std)


def resize(tiles: Tensor, px: int, interpolation: str) -> Tensor:
    """Tiles (B, H, W, C) uint8 → (B, px, px, C) uint8, by Pillow itself on a CPU."""
    if tiles.shape[1:3] == (px, px):
        return tiles
    if tiles.device.type != "cpu":
        return resample(tiles, px, interpolation)
    method = Image.Resampling[interpolation.upper()]
    images = (Image.fromarray(tile).resize((px, px), method) for tile in tiles.numpy())
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


NEARLY = ("bilinear",)  # of torch's kernels; those of the others overshoot, and round twice


def resize_nearly(tiles: Tensor, px: int, interpolation: str) -> Tensor:
    """The same within one level, seldom two: by torch on a CPU, in fewer bits on a GPU."""
    if tiles.shape[1:3] == (px, px):
        return tiles
    if tiles.device.type != "cpu":
        return resample(tiles, px, interpolation, torch.float32)
    if interpolation not in NEARLY:
        return resize(tiles, px, interpolation)
    images = tiles.permute(0, 3, 1, 2)  # channels last in memory, as those kernels want it
    small = functional.interpolate(images, (px, px), mode=interpolation, antialias=True)
    return small.permute(0, 2, 3, 1).contiguous()


def resample(
    tiles: Tensor, px: int, interpolation: str, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Pillow's resize of square tiles as two products: rows first, to 8 bits, then columns.

    To the bit in double precision; in single, a sum next to half a level may round the other way.
    """
    images = tiles.permute(0, 3, 1, 2)  # (B, C, H, W)
    height, width = images.shape[-2:]
    across, down = (  # (px, W), (px, H)
        _weights(side, px, interpolation).to(images.device, dtype) for side in (width, height)
    )
    images = _to_8_bit(images.to(dtype) @ across.T)  # (B, C, H, px)
    images = _to_8_bit(down @ images.to(dtype))  # (B, C, px, px)
    return images.permute(0, 2, 3, 1).contiguous()


def resample_planes(planes: Tensor, px: int, interpolation: str) -> Tensor:
    """Planes (B, C, H, W) float32 → (B, C, px, px) float32, as Pillow resizes its mode F."""
    height, width = planes.shape[-2:]
    across = _shares(width, px, interpolation).to(planes.device)  # (px, W)
    down = _shares(height, px, interpolation).to(planes.device)  # (px, H)
    narrow = (planes.double() @ across.T).float()  # (B, C, H, px)
    return (down @ narrow.double()).float()


_FIXED_POINT = 2**22  # Pillow's weights are integers over this; exact in double precision


def _to_8_bit(sums: Tensor) -> Tensor:
    levels = sums.div_(_FIXED_POINT).add_(0.5).floor_()  # half a level rounds up
    return levels.clamp_(0, 255).to(torch.uint8)


def _weights(size_in: int, size_out: int, interpolation: str) -> Tensor:
    """The shares as Pillow takes them for 8 bits: (size_out, size_in) float64 integers."""
    shares = _shares(size_in, size_out, interpolation)
    return shares.sign() * (shares.abs() * _FIXED_POINT + 0.5).floor()


def _shares(size_in: int, size_out: int, interpolation: str) -> Tensor:
    """What each pixel read gives to each pixel made: (size_out, size_in) float64, rows of sum 1."""
    scale = size_in / size_out
    centres = (torch.arange(size_out, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(size_in, dtype=torch.float64) + 0.5
    distances = (pixels - centres[:, None]) / max(scale, 1.0)  # (size_out, size_in)
    weights = _KERNELS[interpolation](distances.abs())
    return weights / weights.sum(dim=1, keepdim=True)


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp_(min=0)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' convolution kernel with a = -1/2 (Keys 1981, equation 4)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic}
