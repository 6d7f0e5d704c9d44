"""Stores of made-up features, written through the real writer on a lattice that nobody scanned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.slide import Bounds, Channel, Layout, Level, Resolution, SlideInfo
from wsi_tools.store import Project, StoreWriter, lease
from wsi_tools.tiling import TileGrid, TileSpec
from wsi_tools.tissue import TissueMask

__all__ = ["COLUMNS", "write_store"]

SPEC = TileSpec(px=256, mpp=0.5)
COLUMNS = 32  # of the lattice, and its rows
SIDE_PX = COLUMNS * SPEC.px


def write_store(
    project: Project,
    slide_id: str,
    index: NDArray[np.int32],
    features: NDArray[np.float16],
    *,
    name: str = "synthetic",
    markers: Sequence[str] = (),
) -> None:
    """Write one slide: tissue everywhere, a grid of these tiles, and their features.

    Args:
        project: where to.
        slide_id: of the slide.
        index: ``(N, 2)`` row and column of each tile.
        features: ``(N, D)``, or ``(N, M, D)`` with markers.
        name: of the features.
        markers: the M names.
    """
    with lease(project.leases, slide_id) as held:
        writer = StoreWriter(project.store(slide_id), held, command={"verb": "sample_data"})
        writer.claim(_slide(slide_id, markers))
        writer.write_tissue(_tissue(), {"options": {}})
        writer.write_grid(SPEC.key, _grid(index), {"spec": {"px": SPEC.px, "mpp": SPEC.mpp}})
        column = writer.features(SPEC.key, name, _request(slide_id))
        column.open(features.shape, "float16")
        column.append(0, features)
        column.commit({"markers": list(markers)} if markers else {})


def _request(slide_id: str) -> Mapping[str, Any]:
    return {
        "backbone": "synthetic",
        "weights": "none",
        "transform": {},
        "engine": "numpy",
        "precision": "fp32-exact",
        "dtype": "float16",
        "min_tissue": SPEC.min_tissue,
        "grid": slide_id,
    }


def _slide(slide_id: str, markers: Sequence[str]) -> SlideInfo:
    mpp = Resolution("synthetic", SPEC.mpp, SPEC.mpp)
    return SlideInfo(
        path=Path(f"{slide_id}.ome.tiff" if markers else f"{slide_id}.svs"),
        reader="openslide",
        vendor="synthetic",
        levels=(Level((SIDE_PX, SIDE_PX), 1.0),),
        resolutions=(mpp,),
        resolution=mpp,
        bounds=Bounds(0, 0, SIDE_PX, SIDE_PX),
        channels=tuple(Channel(place, marker, "uint16") for place, marker in enumerate(markers)),
        layout=Layout(None, "none"),
        objective_power=None,
        tried=(),
        warnings=(),
        fingerprint=f"synthetic {slide_id}",
        multiplex=bool(markers),
    )


def _tissue() -> TissueMask:
    mask = np.ones((COLUMNS, COLUMNS), np.uint8)
    outline = shapely.MultiPolygon([shapely.box(0, 0, SIDE_PX, SIDE_PX)])
    picture = np.full((COLUMNS, COLUMNS, 3), 220, np.uint8)
    return TissueMask(outline, mask, (float(SPEC.px), float(SPEC.px)), picture, "none", {})


def _grid(index: NDArray[np.int32]) -> TileGrid:
    side = (float(SPEC.px), float(SPEC.px))
    return TileGrid(
        spec=SPEC,
        xy=index[:, ::-1] * SPEC.px,
        index=index,
        tissue=np.ones(len(index), np.float32),
        level=0,
        read_px=side,
        mpp=(SPEC.mpp, SPEC.mpp),
        resampled=False,
        level0_px=side,
        step=side,
        anchor=(0, 0),
    )
