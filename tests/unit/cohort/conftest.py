"""Tables, and stores of a few tiles, written as the program writes them."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from wsi_tools.slide import Bounds, Layout, Level, Resolution, SlideInfo
from wsi_tools.store import Project, StoreWriter, lease
from wsi_tools.store.layout import CHUNK_ROWS
from wsi_tools.tiling import TileGrid, TileSpec
from wsi_tools.tissue import TissueMask

MPP = Resolution("test", 0.5, 0.5)
SLIDE = SlideInfo(
    path=Path("case.svs"),
    reader="openslide",
    vendor="aperio",
    levels=(Level((4096, 4096), 1.0),),
    resolutions=(MPP,),
    resolution=MPP,
    bounds=Bounds(0, 0, 4096, 4096),
    channels=(),
    layout=Layout(None, "none"),
    objective_power=None,
    tried=(),
    warnings=(),
    fingerprint="",
)
MASK = np.ones((16, 16), np.uint8)
TISSUE = TissueMask(shapely.MultiPolygon(), MASK, (256.0, 256.0), np.dstack([MASK] * 3), "none", {})


def grid_of(index: list[tuple[int, int]], tissue: list[float]) -> TileGrid:
    """Tiles of 256 level-0 pixels at these (row, column)."""
    places = np.array(index, np.int32).reshape(-1, 2)
    return TileGrid(
        spec=TileSpec(px=256, mpp=0.5),
        xy=places[:, ::-1] * 256,
        index=places,
        tissue=np.array(tissue, np.float32),
        level=0,
        read_px=(256.0, 256.0),
        mpp=(0.5, 0.5),
        resampled=False,
        level0_px=(256.0, 256.0),
        step=(256.0, 256.0),
        anchor=(0, 0),
    )


class Stores:
    """A project that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        slide_id: str,
        features: np.ndarray,
        *,
        index: list[tuple[int, int]] | None = None,
        tissue: list[float] | None = None,
        unread: Sequence[int] = (),
        names: tuple[str, ...] = ("uni",),
        attributes: dict[str, object] | None = None,
        **request: object,
    ) -> None:
        """One slide; without `index` its tiles stand in a row."""
        index = index or [(0, column) for column in range(len(features))]
        grid = grid_of(index, tissue or [1.0] * len(index))
        request = {"grid": slide_id, "backbone": "uni", "min_tissue": 0.1, **request}
        project = Project(self.path)
        with lease(project.leases, slide_id) as held:
            writer = StoreWriter(project.store(slide_id), held, command={})
            writer.claim(replace(SLIDE, fingerprint=f"image of {slide_id}"))
            writer.write_tissue(TISSUE, {"what": "tissue"})
            writer.write_grid("g", grid, {"what": "grid"})
            for name in names:
                column = writer.features("g", name, request)
                column.open(features.shape, features.dtype.name)
                for start in range(0, len(features), CHUNK_ROWS):
                    column.append(start, features[start : start + CHUNK_ROWS])
                column.mark_invalid(np.array(unread, np.int64))
                column.commit(attributes or {})


@pytest.fixture
def stores(tmp_path):
    return Stores(tmp_path / "project")


@pytest.fixture
def table(tmp_path):
    """Write a table and give its path."""

    def write(text: str, name: str = "cohort.csv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def blca(test_data, tmp_path_factory) -> Path:
    """TCGA-BLCA as MCAT has it: several slides per case, `censorship` 1 for the censored."""
    packed = test_data / "survival" / "tcga_blca_all_clean.csv.zip"
    path = tmp_path_factory.mktemp("blca") / "blca.csv"
    with zipfile.ZipFile(packed) as archive:
        path.write_bytes(archive.read(archive.namelist()[0]))
    return path
