"""A store, open for its one writer: every step is complete or not there at all."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from wsi_tools.errors import StoreError
from wsi_tools.slide import SlideInfo
from wsi_tools.store import arrays, grids
from wsi_tools.store.features import FeatureWriter
from wsi_tools.store.layout import FORMAT, read_root, write_root
from wsi_tools.store.leases import Lease
from wsi_tools.store.reading import FeatureStore
from wsi_tools.store.records import SlideRecord, made_by, parse_slide
from wsi_tools.store.requests import Request, difference, fingerprint
from wsi_tools.tiling import TileGrid
from wsi_tools.tissue import TissueMask, to_geojson


class StoreWriter:
    """The one writer of a slide's store, for as long as it holds the lease.

    A step that is there already, made by the same request, is found by the ``has_`` methods; one
    made by a different request raises `StoreError` and names the difference, unless `overwrite`.
    """

    def __init__(
        self, path: Path, held: Lease, *, command: Mapping[str, Any], overwrite: bool = False
    ) -> None:
        self.path = path
        self.lease = held
        self.command = command
        self.overwrite = overwrite

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
            self._remove(self.path)
            found = None
        if found is None:
            root = {"format": FORMAT, "slide": asdict(record), "made_by": made_by(self.command)}
            self.path.mkdir(parents=True, exist_ok=True)
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
        """Store the tissue; grids that were laid on an earlier one go with it."""
        with self._building(self.path / "tissue") as group:
            arrays.write(group, "mask", tissue.mask)
            arrays.write(group, "thumbnail", tissue.thumbnail)
            group.attrs.update(
                {
                    "request": dict(request),
                    "fingerprint": fingerprint(request),
                    "method": tissue.method,
                    "parameters": dict(tissue.parameters),
                    "mpp": [
                        s * mpp for s, mpp in zip(tissue.scale, self.store.slide.mpp, strict=True)
                    ],
                    "scale": list(tissue.scale),
                    "outlines": to_geojson(tissue.pieces),
                    "regions": to_geojson(tissue.regions),
                }
            )
        self._remove(self.path / "grids")
        self.publish()

    def has_grid(self, key: str, request: Request) -> bool:
        """Whether the grid asked for is there."""
        if key not in self.store.grid_keys():
            return False
        return not self._differs(
            request, self.store.grid_attributes(key)["request"], f"the grid {key}"
        )

    def write_grid(self, key: str, grid: TileGrid, request: Request) -> None:
        """Store a grid, every tile valid until its pixels prove otherwise."""
        with self._building(self.path / "grids" / key) as group:
            for name, values in grids.columns(grid).items():
                arrays.write(group, name, values)
            arrays.write(group, "valid", np.ones(len(grid.xy), np.uint8))
            group.attrs.update(
                {
                    **grids.attributes(grid),
                    "request": dict(request),
                    "fingerprint": fingerprint(request),
                }
            )
        self.publish()

    def set_min_tissue(self, key: str, least: float) -> None:
        """Remember another least tissue for a grid; its tiles stay as they are."""
        if self.store.grid_attributes(key)["min_tissue"] != least:
            self.lease.check()
            zarr.open_group(self.path / "grids" / key, mode="r+").attrs["min_tissue"] = least
            self.publish()

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
        self.lease.check()
        record = dict(root if root is not None else read_root(self.path))
        write_root(self.path, {**record, "summary": _summary(self.store)})

    def _found(self) -> SlideRecord | None:
        if not (self.path / "zarr.json").exists():
            return None
        return parse_slide(self.path, read_root(self.path)["slide"])

    def _differs(self, asked: Request, found: Request, what: str) -> bool:
        changed = difference(asked, found)
        if changed and not self.overwrite:
            raise StoreError(
                f"{self.path}: {what} there was made by another request ({changed}); "
                "choose another output, or add --overwrite"
            )
        return bool(changed)

    @contextmanager
    def _building(self, place: Path) -> Iterator[zarr.Group]:
        """A new group beside its place, which it takes when the block ends well."""
        part = place.with_name(f".{place.name}.{self.lease.token}.part")
        shutil.rmtree(part, ignore_errors=True)
        yield zarr.create_group(part, zarr_format=3)
        self.put_in_place(part, place)

    def put_in_place(self, part: Path, place: Path) -> None:
        """Give what is complete its name, in the place of an earlier one."""
        self.lease.check()
        self._remove(place)
        part.rename(place)

    def _remove(self, place: Path) -> None:
        """Take something out of sight in one step, then delete it."""
        if place.exists():
            self.lease.check()
            gone = place.with_name(f".{place.name}.{self.lease.token}.gone")
            place.rename(gone)
            shutil.rmtree(gone)


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
