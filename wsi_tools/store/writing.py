"""A store, open for its one writer: every step is complete or not there at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from wsi_tools.slide import SlideInfo
from wsi_tools.store import arrays, grids
from wsi_tools.store.features import FeatureWriter
from wsi_tools.store.files import LeasedFolder, beside, left_beside
from wsi_tools.store.layout import FORMAT, read_root, sealed_root
from wsi_tools.store.leases import Lease
from wsi_tools.store.reading import FeatureStore
from wsi_tools.store.records import SlideRecord, made_by, parse_slide
from wsi_tools.store.requests import Request, differs, signed
from wsi_tools.tiling import TileGrid
from wsi_tools.tissue import TissueMask, to_geojson


class StoreWriter:
    """The one writer of a slide's store, for as long as it holds the lease.

    Opening it first brings to an end what a writer that died had begun. A step that is there
    already, made by the same request, is found by the ``has_`` methods; one made by a different
    request raises `StoreError` and names the difference, unless `overwrite`.
    """

    def __init__(
        self, path: Path, held: Lease, *, command: Mapping[str, Any], overwrite: bool = False
    ) -> None:
        self.path = path
        self.folder = LeasedFolder(path, held)
        self.command = command
        self.overwrite = overwrite
        if left_beside(path / "zarr.json", "stale"):
            self.publish()
        self.folder.sweep()

    @property
    def store(self) -> FeatureStore:
        """What is complete by now, open for reading."""
        return FeatureStore(self.path)

    def claim(self, slide: SlideInfo) -> None:
        """Make the store for a slide, or make sure that it is this slide's; follow a moved file.

        Raises:
            StoreError: the store is another slide's, or was made with another geometry.
        """
        record = SlideRecord.of(slide)
        found = self._found()
        if found is not None and self._differs(record.geometry(), found.geometry(), "the slide"):
            self._clear()
            found = None
        if found is None:
            self._make_groups()
            root = {"format": FORMAT, "slide": asdict(record), "made_by": made_by(self.command)}
            self.publish(root)
        elif found != record:
            self.publish({**read_root(self.path), "slide": asdict(record)})

    def has_tissue(self, request: Request | None) -> bool:
        """Whether the segmentation asked for is there; None takes whatever is."""
        if not self.store.has_tissue:
            return False
        return request is None or not self._differs(
            request, self.store.tissue_request(), "the tissue"
        )

    def write_tissue(self, tissue: TissueMask, request: Request) -> None:
        """Store the tissue; grids that were laid on an earlier one go first."""
        mpp = self.store.slide.mpp
        facts = {
            "method": tissue.method,
            "parameters": tissue.parameters,
            "mpp": [scale * side for scale, side in zip(tissue.scale, mpp, strict=True)],
            "scale": tissue.scale,
            "outlines": to_geojson(tissue.pieces),
            "regions": to_geojson(tissue.regions),
        }
        self._drop_grids()
        with self._building(self.path / "tissue", signed(request, facts)) as group:
            arrays.write(group, "mask", tissue.mask, codecs=arrays.PACKED)
            arrays.write(group, "thumbnail", tissue.thumbnail, codecs=arrays.PACKED)

    def has_grid(self, key: str, request: Request) -> bool:
        """Whether the grid asked for is there."""
        if key not in self.store.grid_keys():
            return False
        return not self._differs(
            request, self.store.grid_attributes(key)["request"], f"the grid {key}"
        )

    def write_grid(self, key: str, grid: TileGrid, request: Request) -> None:
        """Store a grid, every tile valid until its pixels prove otherwise."""
        place = self.path / "grids" / key
        with self._building(place, signed(request, grids.attributes(grid))) as group:
            for name, values in grids.columns(grid).items():
                arrays.write(group, name, values)
            arrays.write(group, "valid", np.ones(len(grid.xy), np.uint8))
            group.create_group("features")

    def set_min_tissue(self, key: str, least: float) -> None:
        """Remember another least tissue for a grid; its tiles stay as they are."""
        if self.store.grid_attributes(key)["min_tissue"] != least:
            with self.changing():
                grid = zarr.open_group(self.folder.zarr(self.path / "grids" / key), mode="r+")
                grid.attrs["min_tissue"] = least

    def has_features(self, key: str, name: str, request: Request) -> bool:
        """Whether the complete features asked for are there."""
        if name not in self.store.feature_names(key):
            return False
        found = self.store.feature_attributes(key, name)["request"]
        return not self._differs(request, found, f"the features {name}")

    def features(self, key: str, name: str, request: Request) -> FeatureWriter:
        """Begin a set of features, or go on with one that was left half-written."""
        return FeatureWriter(self, key, name, request)

    def publish(self, root: Mapping[str, Any] | None = None) -> None:
        """Rewrite the root record: the summary that `status` reads, and the digests."""
        record = dict(root if root is not None else read_root(self.path))
        sealed = sealed_root(self.path, {**record, "summary": _summary(self.store)})
        self.folder.write(self.path / "zarr.json", sealed)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change what others see; until the root record tells of it, a mark says it is stale."""
        mark = beside(self.path / "zarr.json", self.folder.lease.token, "stale")
        self.folder.write(mark, b"")
        yield
        self.publish()
        mark.unlink(missing_ok=True)

    def _found(self) -> SlideRecord | None:
        if not (self.path / "zarr.json").exists():
            return None
        return parse_slide(self.path, read_root(self.path)["slide"])

    def _differs(self, asked: Request, found: Request, what: str) -> bool:
        return differs(asked, found, self.path, what, overwrite=self.overwrite)

    def _make_groups(self) -> None:
        place = self.path / "grids"
        if not (place / "zarr.json").exists():
            zarr.create_group(self.folder.zarr(place), zarr_format=3)

    def _clear(self) -> None:
        self._drop_grids()
        with self.changing():
            self.folder.remove(self.path / "tissue")

    def _drop_grids(self) -> None:
        if keys := self.store.grid_keys():
            with self.changing():
                for key in keys:
                    self.folder.remove(self.path / "grids" / key)

    @contextmanager
    def _building(self, place: Path, attributes: dict[str, Any]) -> Iterator[zarr.Group]:
        """A new group beside its place, which it takes when the block ends well."""
        part = self.folder.part(place)
        yield zarr.create_group(self.folder.zarr(part), zarr_format=3, attributes=attributes)
        with self.changing():
            self.folder.put(part, place)


def _summary(store: FeatureStore) -> dict[str, Any]:
    return {
        "tissue": store.has_tissue,
        "grids": {key: _grid_summary(store, key) for key in store.grid_keys()},
    }


def _grid_summary(store: FeatureStore, key: str) -> dict[str, Any]:
    names = store.feature_names(key)
    return {
        "tiles": store.tiles(key),
        "features": {name: list(store.features(key, name).shape) for name in names},
    }
