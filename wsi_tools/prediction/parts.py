"""Parts of a bag: which tiles a model sees at once, where that is not the whole bag."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wsi_tools.mil import Bag

__all__ = ["cut", "random_order", "tiles_of"]


def tiles_of(bag: Bag, rows: Tensor) -> Bag:
    """The bag of these tiles alone, ``(n,)`` row numbers."""
    return replace(
        bag,
        features=bag.features[rows],
        coords=bag.coords[rows],
        lattice=bag.lattice[rows],
        segment=bag.segment[rows],
    )


def random_order(tiles: int, seed: Sequence[int]) -> Tensor:
    """A permutation ``(tiles,)`` that depends on the seed alone."""
    return torch.from_numpy(np.random.default_rng(list(seed)).permutation(tiles))


def cut(tiles: int, size: int, seed: Sequence[int]) -> tuple[Tensor, ...]:
    """Row numbers of nearly equal random parts, none above `size`; every tile is in one."""
    order = random_order(tiles, seed)
    return torch.tensor_split(order, -(-tiles // size))
