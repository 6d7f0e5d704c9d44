"""Sets of labelled bags as they are handed around: matrices of MATLAB, and bags of MNIST digits."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat  # scipy comes with scikit-image
from torch import Tensor

from wsi_tools.mil import Bag

__all__ = ["BagSet", "digit_bags", "find_sets", "read_set"]

MATRICES = {"X", "Bag2", "bagI"}
DIGIT_BAGS, DIGITS_MEAN, DIGITS_SD, KEY_DIGIT = 200, 10, 2, 9


@dataclass(frozen=True, eq=False)
class BagSet:
    """Bags of vectors, each bag positive or negative.

    Attributes:
        tiles: ``(N_i, D)`` float32 of each bag.
        labels: ``(bags,)`` int64, 1 where a bag is positive.
        comparable: all features share one unit, as pixels do, and are left as they are.
    """

    tiles: tuple[Tensor, ...]
    labels: Tensor
    comparable: bool = False

    @property
    def width(self) -> int:
        """D."""
        return self.tiles[0].shape[1]

    def seen_from(self, train: list[int]) -> tuple[Bag, ...]:
        """All bags, every feature with mean 0 and variance 1 over the tiles of training bags.

        A feature that never varies in training is 0 in training and only shifted elsewhere.
        """
        if self.comparable:
            return tuple(map(Bag.of_slide, self.tiles))
        seen = torch.cat([self.tiles[index] for index in train])  # (rows, D)
        mean, spread = seen.mean(dim=0), seen.std(dim=0)
        spread = torch.where(spread > 0, spread, 1.0)
        return tuple(Bag.of_slide((tiles - mean) / spread) for tiles in self.tiles)


def find_sets(folder: Path) -> dict[str, Path]:
    """The folder of every set, by its name; of two scalings, the first in the alphabet.

    A set's folder holds either the matrices ``X`` (tiles), ``Bag2`` (the bag of each tile, from 1)
    and ``bagI`` (the label of each bag), or the images and labels of MNIST.
    """
    found: dict[str, Path] = {}
    for place in sorted(each for each in folder.iterdir() if each.is_dir()):
        if _digit_files(place) or _matrices(place).keys() >= MATRICES:
            found.setdefault(place.name.partition("_")[0], place)
    return found


def read_set(place: Path) -> BagSet:
    """The set in a folder that `find_sets` found."""
    if files := _digit_files(place):
        images, labels = (_unpacked(path) for path in files)
        return digit_bags(images[16:].reshape(-1, 28 * 28), labels[8:])
    found = _matrices(place)
    tiles = torch.tensor(found["X"], dtype=torch.float32)  # (rows, D)
    owner, labels = (torch.tensor(found[key].astype(np.int64).ravel()) for key in ("Bag2", "bagI"))
    return BagSet(tuple(tiles[owner == bag + 1] for bag in range(len(labels))), labels)


def digit_bags(images: NDArray[np.uint8], digits: NDArray[np.uint8], seed: int = 0) -> BagSet:
    """Bags of digits that hold a 9 or none (Ilse et al. 2018, section 4.2).

    Every other bag is positive: one digit is a 9, and each of the others is in one case of ten.
    Bags have normally many digits, mean 10, standard deviation 2. No digit is in two bags, so that
    none is in training and in test. A tile is the pixels of a digit, 0 to 1.

    Args:
        images: ``(n, pixels)``.
        digits: ``(n,)`` what they show.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    keys, others = (
        iter(rng.permutation(np.flatnonzero(kind)))
        for kind in (digits == KEY_DIGIT, digits != KEY_DIGIT)
    )
    tiles = []
    for number in range(DIGIT_BAGS):
        size = max(1, round(rng.normal(DIGITS_MEAN, DIGITS_SD)))
        positive = number % 2
        found = positive * (1 + rng.binomial(size - 1, 0.1))
        chosen = [next(keys) for _ in range(found)] + [next(others) for _ in range(size - found)]
        tiles.append(torch.tensor(images[rng.permutation(chosen)] / 255, dtype=torch.float32))
    return BagSet(tuple(tiles), torch.arange(DIGIT_BAGS) % 2, comparable=True)


def _digit_files(place: Path) -> tuple[Path, ...]:
    """The file of images and that of labels, or nothing."""
    found = [next(place.glob(f"*{kind}-ubyte.gz"), None) for kind in ("idx3", "idx1")]
    return tuple(path for path in found if path) if all(found) else ()


def _unpacked(path: Path) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8)


def _matrices(place: Path) -> Mapping[str, Any]:
    """The variables of all files of a folder."""
    return {
        name: value for path in sorted(place.glob("*.mat")) for name, value in loadmat(path).items()
    }
