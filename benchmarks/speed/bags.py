"""Rows of loading: an epoch of bags, and a few rows of a large one, beside other formats."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speed.row import Bench, Fact, Measured, Row
from speed.stores import features_of, write_features
from speed.timing import alternate
from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.bags import Bags, open_bags
from wsi_tools.store import FeatureStore, Project
from wsi_tools.store.chunks import RowChunks

__all__ = ["ROWS"]

Loading = Callable[[str], Tensor]
SHARE = 100  # one row in so many is read


@dataclass(frozen=True)
class Epoch:
    """Bags of made-up features, as stores, as HDF5 and as torch's files."""

    bench: Bench

    @cached_property
    def folder(self) -> Path:
        """All three, written once."""
        size = self.bench.size
        low, high = size.bag_tiles
        folder = self.bench.folder / f"bags-{size.slides}-{low}-{high}-{size.width}"
        if not (folder / "done").exists():
            folder.mkdir(parents=True, exist_ok=True)
            for name, values in zip(self.names, self._values(), strict=True):
                _write(folder, name, values)
            (folder / "done").touch()
        return folder

    @property
    def names(self) -> list[str]:
        """Of the slides."""
        return [f"slide-{number:03}" for number in range(self.bench.size.slides)]

    @property
    def order(self) -> list[str]:
        """Of an epoch, the same for both sides."""
        return np.random.default_rng(1).permutation(self.names).tolist()

    @cached_property
    def bags(self) -> Bags:
        """Of the stores, as training opens them."""
        return open_bags(self.folder / "stores", Cohort.of_slides(self.names))

    def _values(self) -> Iterator[NDArray[np.float16]]:
        rng, size = np.random.default_rng(0), self.bench.size
        for _ in self.names:
            tiles = rng.integers(*size.bag_tiles, endpoint=True)
            yield rng.standard_normal((tiles, size.width), np.float32).astype(np.float16)

    def from_store(self, name: str) -> Tensor:
        """A bag as models get it: features, places, and which slide each tile is from."""
        return self.bags.bag(Case(name, name, (name,))).features

    def from_h5(self, name: str) -> Tensor:
        """Float32, contiguous."""
        with h5py.File(self.folder / f"{name}.h5") as file:
            return torch.from_numpy(file["features"][:])

    def from_pt(self, name: str) -> Tensor:
        """Float32, as torch saves a tensor."""
        loaded: Tensor = torch.load(self.folder / f"{name}.pt", weights_only=True)
        return loaded

    def compare(self, beside: Loading) -> Measured:
        """Load all bags in random order."""
        size, order = self.bench.size, self.order
        equal = all(torch.equal(self.from_store(name).float(), beside(name)) for name in order)
        ours, others = (_loading(load, order) for load in (self.from_store, beside))
        pairs = alternate(ours, others, size=size)
        amount = (
            f"{size.slides} bags of {size.bag_tiles[0]:,} to {size.bag_tiles[1]:,} × {size.width}"
        )
        return Measured(pairs, (Fact("same values", equal),), amount)


def _write(folder: Path, name: str, values: NDArray[np.float16]) -> None:
    exact = values.astype(np.float32)
    write_features(Project(folder / "stores"), name, values)
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["features"] = exact
    torch.save(torch.from_numpy(exact), folder / f"{name}.pt")


def _loading(load: Loading, names: Sequence[str]) -> Callable[[ExitStack], Callable[[], object]]:
    def work() -> None:
        for name in names:
            load(name)

    return lambda stack: work


def beside_h5(bench: Bench) -> Measured:
    """An epoch, beside HDF5."""
    epoch = Epoch(bench)
    return epoch.compare(epoch.from_h5)


def beside_pt(bench: Bench) -> Measured:
    """An epoch, beside torch's files."""
    epoch = Epoch(bench)
    return epoch.compare(epoch.from_pt)


def some_rows(bench: Bench) -> Measured:
    """Random rows of one large bag, in ascending order, beside HDF5 in float16."""
    store, file = _large(bench)
    tiles = bench.size.row_tiles
    rows = np.random.default_rng(2).choice(tiles, tiles // SHARE, replace=False)
    rows.sort()

    def ours(stack: ExitStack) -> Callable[[], NDArray[np.float16]]:
        return lambda: _rows(store, rows)

    def beside(stack: ExitStack) -> Callable[[], NDArray[np.float16]]:
        opened = stack.enter_context(h5py.File(file))
        return lambda: opened["features"][rows]

    with ExitStack() as stack:
        equal = Fact("same values", np.array_equal(ours(stack)(), beside(stack)()))
    pairs = alternate(ours, beside, size=bench.size)
    return Measured(pairs, (equal,), f"{len(rows):,} of {tiles:,} rows of {bench.size.width}")


def _rows(store: Path, rows: NDArray[np.int64]) -> NDArray[np.float16]:
    chunks = RowChunks.of(store)
    assert chunks is not None
    return chunks.read(rows)


def _large(bench: Bench) -> tuple[Path, Path]:
    """The folder of a large bag's features, and the HDF5 file with the same values."""
    tiles, width = bench.size.row_tiles, bench.size.width
    project, file = (
        Project(bench.folder / f"rows-{width}"),
        bench.folder / f"rows-{tiles}-{width}.h5",
    )
    store = project.store(f"large-{tiles}")
    if not file.exists():
        values = np.random.default_rng(3).standard_normal((tiles, width), np.float32)
        write_features(project, store.stem, values.astype(np.float16))
        with h5py.File(file, "w") as opened:
            opened["features"] = values.astype(np.float16)
    return features_of(FeatureStore(store).path), file


ROWS = (
    Row("bags-h5", "load an epoch of bags", "h5py, float32 contiguous", 2.3, 3, beside_h5),
    Row("bags-pt", "the same", "`torch.load`, float32", 1.8, 2.5, beside_pt),
    Row("rows", "1 % random rows of a bag", "h5py, float16 contiguous", 3, 6, some_rows),
)
