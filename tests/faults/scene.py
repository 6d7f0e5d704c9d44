"""A slide made of numbers, and the whole writing of its store: what fault tests interrupt."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from wsi_tools.slide import Bounds, Channel, Layout, Level, Resolution, SlideInfo
from wsi_tools.store import FeatureStore, FeatureWriter, Project, StoreWriter, Watch, lease
from wsi_tools.tiling import TileGrid, TileSpec
from wsi_tools.tissue import TissueMask

# What a process started by a test needs to import what the test can.
SAME_IMPORTS = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

CHUNK = 1024
MPP = Resolution("tiff", 0.25, 0.25)
SLIDE = SlideInfo(
    path=Path("slides/case.svs"),
    reader="openslide",
    vendor="aperio",
    levels=(Level((40_000, 30_000), 1.0), Level((10_000, 7_500), 4.0)),
    resolutions=(MPP,),
    resolution=MPP,
    bounds=Bounds(0, 0, 40_000, 30_000),
    channels=(Channel(0, "red", "uint8"),),
    layout=Layout((256, 256), "jpeg"),
    objective_power=40.0,
    tried=(),
    warnings=(),
    fingerprint="5" * 64,
)
MASK = np.tile(np.array([[0, 1], [1, 1]], np.uint8), (150, 200))  # (300, 400)
TISSUE = TissueMask(
    outlines=shapely.MultiPolygon([shapely.box(100, 100, 900, 700)]),
    mask=MASK,
    scale=(100.0, 100.0),
    thumbnail=np.repeat(MASK[:, :, None] * 90, 3, axis=2),
    method="otsu",
    parameters={"threshold": 0.4},
)


def grid_of(tiles: int) -> TileGrid:
    """A grid of so many tiles, ten to a row."""
    index = np.stack(np.divmod(np.arange(tiles), 10), axis=1).astype(np.int32)
    return TileGrid(
        spec=TileSpec(px=256, mpp=0.5),
        xy=(index[:, ::-1] * 512).astype(np.int32),
        index=index,
        tissue=np.linspace(0.1, 1, tiles).astype(np.float32),
        level=0,
        read_px=(512.0, 512.0),
        mpp=(0.5, 0.5),
        resampled=True,
        level0_px=(512.0, 512.0),
        step=(512.0, 512.0),
        anchor=(0, 0),
    )


def rows_of(shape: tuple[int, ...]) -> np.ndarray:
    """Rows of features that tell their place."""
    return (np.arange(np.prod(shape)).reshape(shape) % 1999 / 8).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A project and one slide of it; `edition` is the request that made, or makes, its store."""

    project: Path
    tiles: int = 1100
    edition: int = 1

    @property
    def store(self) -> FeatureStore:
        """The slide's store."""
        return FeatureStore(Project(self.project).store("case"))

    @contextmanager
    def writer(
        self, *, overwrite: bool = False, watch: Watch | None = None
    ) -> Iterator[StoreWriter]:
        """Hold the lease, and open the store for writing."""
        with lease(Project(self.project).leases, "case", watch=watch) as held:
            yield StoreWriter(self.store.path, held, command={"verb": "run"}, overwrite=overwrite)

    def write(self, *, overwrite: bool = False, watch: Watch | None = None) -> int:
        """Do all that is missing: tissue, grid, features of two kinds; give the chunks computed."""
        with self.writer(overwrite=overwrite, watch=watch) as writer:
            return self.fill(writer)

    def fill(self, writer: StoreWriter) -> int:
        """Do all that is missing."""
        self.lay(writer)
        return self.embed(writer, "plain", (self.tiles, 4)) + self.embed(
            writer, "plain.v2@panel", (self.tiles, 2, 3)
        )

    def lay(self, writer: StoreWriter) -> None:
        """Claim the store, and write the tissue and the grid where they are missing."""
        writer.claim(SLIDE)
        if not writer.has_tissue(self.request("tissue")):
            writer.write_tissue(TISSUE, self.request("tissue"))
        if not writer.has_grid("grid", self.request("grid")):
            writer.write_grid("grid", grid_of(self.tiles), self.request("grid"))

    def embed(self, writer: StoreWriter, name: str, shape: tuple[int, ...]) -> int:
        """Write the chunks of features that are missing, with every thousandth tile unread."""
        if writer.has_features("grid", name, self.request(name)):
            return 0
        features = writer.features("grid", name, self.request(name))
        computed = self._append(features, rows_of(shape))
        features.commit({"card": {"name": name}})
        return computed

    def _append(self, features: FeatureWriter, rows: np.ndarray) -> int:
        starts = range(features.open(rows.shape, "float16"), len(rows), CHUNK)
        for start in starts:
            features.mark_invalid(np.array([start // CHUNK * 1000]))
            features.append(start, rows[start : start + CHUNK])
        return len(starts)

    def request(self, what: str) -> dict[str, Any]:
        """A request that differs from edition to edition."""
        return {"what": what, "edition": self.edition, "scale": (0.5, 0.25)}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path, and every empty folder."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path.read_bytes() if path.is_file() else b""
        for name, path in found.items()
        if path.is_file() or not any(path.iterdir())
    }
