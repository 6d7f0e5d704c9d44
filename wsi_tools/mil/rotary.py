"""Positions on the tile lattice: 2-D rotary embedding of queries and keys, 2-D sine embedding.

Su et al., RoFormer (arXiv:2104.09864), on two axes as in RoFormerMIL (arXiv:2310.01924).
"""

import math

import torch
from torch import Tensor

__all__ = ["lang_frequencies", "pixel_frequencies", "rotary_angles", "rotate", "sine_embedding"]


def pixel_frequencies(head_dim: int, max_frequency: float = 400.0) -> Tensor:
    """``(head_dim / 4,)`` float64 radians per lattice step, evenly spaced: π/400 to π/2.

    The release's default: π · linspace(1, max_frequency / 2), divided by max_frequency.
    """
    steps = torch.linspace(1.0, max_frequency / 2, head_dim // 4, dtype=torch.float64)
    return math.pi * steps / max_frequency


def lang_frequencies(head_dim: int, theta: float = 10_000.0) -> Tensor:
    """``(head_dim / 4,)`` float64 radians per lattice step: theta^(-2j / (head_dim / 2))."""
    exponents = torch.arange(head_dim // 4, dtype=torch.float64) * 2 / (head_dim // 2)
    return theta**-exponents


def rotary_angles(lattice: Tensor, frequencies: Tensor) -> Tensor:
    """Angles ``(N, head_dim / 2)`` of ``(N, 2)`` lattice positions: columns' half, then rows'.

    Computed in the dtype of `frequencies`: float64 keeps far-apart lattices exact.
    """
    steps = lattice.to(frequencies.dtype)[:, :, None] * frequencies  # (N, 2, head_dim / 4)
    return steps.flatten(1)


def rotate(vectors: Tensor, angles: Tensor) -> Tensor:
    """Rotate each consecutive pair of ``(..., N, d)`` by its angle of ``(N, d / 2)``.

    Inner products of rotated vectors depend on differences of position alone.
    """
    dtype = torch.promote_types(vectors.dtype, torch.float32)  # half precision would blur the angle
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    even, odd = torch.unflatten(vectors.to(dtype), -1, (-1, 2)).unbind(-1)  # (..., N, d / 2) each
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
    return turned.flatten(-2).to(vectors.dtype)


def sine_embedding(lattice: Tensor, dim: int) -> Tensor:
    """Absolute embedding ``(N, dim)`` float64 of ``(N, 2)`` positions: columns' half, then rows'.

    Channel i of a half holds the sine (even i) or cosine (odd i) of the position times
    10000^(-2 floor(i / 2) / (dim / 2)).
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float64, device=lattice.device) // 2 * 2 / half
    angles = lattice.to(torch.float64)[:, :, None] * 10_000.0**-exponents  # (N, 2, half)
    waves = torch.where(
        torch.arange(half, device=lattice.device) % 2 == 0, angles.sin(), angles.cos()
    )
    return waves.flatten(1)
