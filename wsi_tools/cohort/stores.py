"""Which stores a cohort's slides have, and which features in them are meant. No torch here."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.cohort.patients import Cohort
from wsi_tools.errors import DataError, InputError, StoreError
from wsi_tools.store.copying import Copiers
from wsi_tools.store.layout import read_root
from wsi_tools.store.project import Project
from wsi_tools.store.reading import FeatureRows, FeatureStore
from wsi_tools.store.requests import difference
from wsi_tools.tiling import TileGrid

__all__ = ["FeatureSet", "StoredFeatures", "choose_features", "fingerprints", "with_stores"]

# What may differ between slides that are read together: each has its own tiles, one that overflows
# float16 is stored as float32, and each has its markers in channels of its own, on a scale that may
# be measured there.
OF_ONE_SLIDE = ("grid", "dtype", "min_tissue", "found", "statistics")
NAMED = 5  # slides in a message
BLOCK = 2**18  # values that are looked at together


def with_stores(cohort: Cohort, project: Path, *, skip_missing: bool = False) -> Cohort:
    """The cohort, each slide of which has a store in the project.

    Args:
        cohort: the slides.
        project: the folder of stores.
        skip_missing: go on without the slides that have none.

    Raises:
        DataError: slides have no store, or none has one; the message names the first.
    """
    there = {store.stem for store in Project(project).stores()}
    missing = [slide.slide_id for slide in cohort.slides if slide.slide_id not in there]
    if len(missing) == len(cohort.slides):
        raise DataError(f"{project}: holds none of the cohort's slides, such as {missing[0]}")
    if missing and not skip_missing:
        raise DataError(
            f"{project}: no store for {len(missing)} of {len(cohort.slides)} slides "
            f"({first_few(missing)}); embed them, or leave them out with --skip-missing"
        )
    return cohort.only(there) if missing else cohort


def fingerprints(project: Path, slide_ids: Collection[str]) -> dict[str, str]:
    """What tells the image of each slide that has a store from any other image."""
    return {
        store.stem: read_root(store)["slide"]["fingerprint"]
        for store in Project(project).stores()
        if store.stem in slide_ids
    }


def first_few(names: Sequence[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


@dataclass(frozen=True)
class FeatureSet:
    """One set of features: the grid's key, and the features' name on it."""

    grid: str
    name: str

    def __str__(self) -> str:
        return f"{self.grid}/{self.name}"

    @property
    def backbone(self) -> str:
        """The name less the panel."""
        return self.name.partition("@")[0]

    @property
    def short(self) -> tuple[str, str]:
        """What it may be called where no other has this backbone."""
        return self.backbone, f"{self.grid}/{self.backbone}"


def choose_features(store: Path, wanted: str | None = None) -> FeatureSet:
    """The features that are meant: the ones named, or the only ones.

    Args:
        store: of any slide of the project.
        wanted: ``<grid>/<backbone>`` or ``<grid>/<backbone>@<panel>``, or less of it if that fits
            one set.

    Raises:
        InputError: none or several fit.
    """
    grids = read_root(store)["summary"]["grids"]
    found = [FeatureSet(key, name) for key, grid in grids.items() for name in grid["features"]]
    exact = [each for each in found if wanted in (each.name, str(each))]
    fitting = exact or [each for each in found if wanted in (None, *each.short)]
    if len(fitting) == 1:
        return fitting[0]
    if not found:
        raise InputError(f"{store}: has no features; run wsitools embed first")
    listed = ", ".join(str(each) for each in found)
    what = "has several sets of features" if fitting else f"has no features {wanted!r}"
    raise InputError(f"{store}: {what}; choose with --features from {listed}")


class StoredFeatures:
    """One slide's features, of tiles that can be used: read, with tissue, and embedded.

    What tells which tiles these are is read once and kept, a seventieth of what the features of
    1024 values take on disk; the features are read whenever they are asked for.
    """

    def __init__(self, store: Path, features: FeatureSet, min_tissue: float = 0.0) -> None:
        self.store = FeatureStore(store)
        self.features = features
        self.least = min_tissue
        self._is_verified = False
        self._attributes = self.store.feature_attributes(features.grid, features.name)
        self._request: Mapping[str, Any] = self._attributes["request"]
        self.min_tissue = max(min_tissue, self._request.get("min_tissue", 0.0))

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, D)`` or ``(N, M, D)``, all tiles of the grid counted."""
        return self._on_disk.shape

    @property
    def identity(self) -> dict[str, Any]:
        """What slides that are read together agree on: geometry, encoder, least tissue."""
        encoder = {name: each for name, each in self._request.items() if name not in OF_ONE_SLIDE}
        return {
            "tiles": self.store.grid_attributes(self.features.grid)["requested"],
            "encoder": encoder,
            "markers": self.panel,
            "values": self._values,
            "min_tissue": self.min_tissue,
        }

    @property
    def panel(self) -> list[str] | None:
        """The markers by name, those that were dropped for this slide too; None where it has none.

        Their order is that of the marker axis, where there is one.
        """
        channels = self._request.get("channels")
        if channels is None:
            return self._attributes.get("markers")
        places = {name: each["place"] for name, each in channels["panel"].items()}
        return sorted(places, key=lambda name: places[name])

    @property
    def markers(self) -> tuple[str, ...]:
        """The names along this slide's marker axis; none where it has no such axis."""
        names = self._attributes.get("markers") or map(str, range(self.shape[1]))
        return tuple(names) if len(self.shape) > 2 else ()

    @property
    def _values(self) -> list[int]:
        """The shape of a tile's values, had the slide every marker."""
        *markers, width = self.shape[1:]
        return [len(self.panel), width] if markers and self.panel else [*markers, width]

    @cached_property
    def grid(self) -> TileGrid:
        """All tiles of the slide's grid."""
        return self.store.grid(self.features.grid)

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """The rows that are used, in the order of the store.

        Raises:
            DataError: there are none.
        """
        valid = self.store.valid(self.features.grid)
        rows = np.flatnonzero(valid & (self.grid.tissue >= self.min_tissue))
        if not len(rows):
            raise DataError(
                f"slide {self.store.slide_id}: none of its {len(valid)} tiles can be used "
                f"(least tissue {self.min_tissue:g}); take the slide out of the cohort"
            )
        return rows

    def values(self, copiers: Copiers | None = None) -> NDArray[Any]:
        """``(n, D)`` or ``(n, M, D)`` features of the rows, in the dtype they are stored in.

        The first time all of them are compared with their checksums, and must be finite.

        Args:
            copiers: threads that help where there is much to copy.

        Raises:
            StoreError: the features are torn.
            DataError: there are no rows, or a value is not finite.
        """
        rows = self.rows if self._has_gaps else None
        values = self._on_disk.read(rows, verify=not self._is_verified, copiers=copiers)
        if not (self._is_verified or _all_finite(values)):
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            raise DataError(
                f"slide {self.store.slide_id}: the features {self.features.name} of tile "
                f"{self.rows[finite.argmin()]} are not finite; embed it again with --overwrite"
            )
        self._is_verified = True
        return values

    def places(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Of the rows: ``(n, 2)`` (x, y) level-0 pixels, and ``(n, 2)`` (row, column)."""
        xy, index = self.grid.xy, self.grid.index
        return (xy[self.rows], index[self.rows]) if self._has_gaps else (xy, index)

    @cached_property
    def _has_gaps(self) -> bool:
        return len(self.rows) < self.shape[0]

    @cached_property
    def _on_disk(self) -> FeatureRows:
        return self.store.feature_rows(self.features.grid, self.features.name)


def _all_finite(values: NDArray[Any]) -> bool:
    """Block by block, so that what is made on the way stays in the processor's cache."""
    flat = values.reshape(-1)
    return all(_is_finite(flat[at : at + BLOCK]) for at in range(0, len(flat), BLOCK))


def _is_finite(values: NDArray[Any]) -> bool:
    """By the bits of the largest magnitude: fifteen times as fast as numpy on half precision."""
    bits = np.dtype(f"u{values.dtype.itemsize}")
    infinite = np.array(np.inf, values.dtype).view(bits)
    largest = (values.view(bits) & np.iinfo(bits).max // 2).max(initial=0)
    return bool(largest < infinite)


def agreed_identity(first: StoredFeatures, others: Iterator[StoredFeatures]) -> dict[str, Any]:
    """What the first slide and all others agree on.

    Raises:
        DataError: two slides differ in markers, encoder, geometry or least tissue; both are named.
    """
    identity = first.identity
    for other in others:
        if other.panel != first.panel:
            raise other_markers(first, other)
        if changed := difference(other.identity, identity):
            raise DataError(
                f"slide {other.store.slide_id}: its features {other.features} are not of the kind "
                f"that {first.store.slide_id} has ({changed}); embed all slides alike"
            )
    return identity


def other_markers(first: StoredFeatures, other: StoredFeatures) -> DataError:
    """The error of two slides that were embedded with other panels."""
    here, there = other.panel or [], first.panel or []
    lacking = [name for name in there if name not in here]
    more = [name for name in here if name not in there]
    parts = [("lacks", lacking), ("has", more)]
    told = " and ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)
    return DataError(
        f"slide {other.store.slide_id}: beside {first.store.slide_id} it "
        f"{told or 'has its markers in another order'}; embed all slides with one --panel"
    )


def open_features(store: Path, like: StoredFeatures) -> StoredFeatures:
    """The features of another slide that are called as these are, above the same least tissue.

    Raises:
        StoreError: there are none.
        DataError: there are such features, but of other markers.
    """
    try:
        return StoredFeatures(store, like.features, like.least)
    except StoreError as error:
        missing = StoreError(f"slide {store.stem}: no features {like.features} ({error})")
    grid = like.features.grid
    there = (FeatureSet(grid, name) for name in FeatureStore(store).feature_names(grid))
    for found in there if like.panel else ():
        if found.backbone == like.features.backbone:
            raise other_markers(like, StoredFeatures(store, found, like.least))
    raise missing
