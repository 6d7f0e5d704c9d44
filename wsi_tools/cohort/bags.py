"""Bags from stores: the tiles of a case as a model takes them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsi_tools.cohort.clinical import Scaler
from wsi_tools.cohort.patients import Case, Cohort
from wsi_tools.cohort.stores import (
    FeatureSet,
    StoredFeatures,
    agreed_identity,
    choose_features,
    open_features,
)
from wsi_tools.errors import DataError, InputError
from wsi_tools.execution import computing_cores
from wsi_tools.mil import Bag
from wsi_tools.store.copying import Copiers
from wsi_tools.store.layout import SUFFIX

__all__ = ["Bags", "open_bags"]

SLIDE_GAP = 4096  # columns between two slides on one lattice: wider than any slide
MOST_THREADS = 4  # on one bag: a machine may read for many models at once


def _copiers() -> Copiers:
    """Threads beside the one that asks: a few, if this process may use so many."""
    return Copiers(min(MOST_THREADS, computing_cores()) - 1)


@dataclass(frozen=True)
class Bags:
    """The bags of some cases; what is not among them cannot be reached.

    Attributes:
        stores: the store of each slide.
        features: which features.
        min_tissue: tiles with less are left out, and those that were not embedded.
        identity: what the features of all slides have in common, as plain data: geometry,
            encoder, markers, the shape of a tile's values, least tissue.
        scalers: one per clinical table, fitted on the training fold.
        opened: slides that were looked at in this process; their features are verified once.
        copiers: threads that help to read a large bag.
    """

    stores: Mapping[str, Path]
    features: FeatureSet
    min_tissue: float
    identity: Mapping[str, Any] = field(repr=False)
    scalers: tuple[Scaler, ...] = ()
    opened: dict[str, StoredFeatures] = field(default_factory=dict, repr=False, compare=False)
    copiers: Copiers = field(default_factory=_copiers, repr=False, compare=False)

    def only(self, cases: Collection[Case]) -> "Bags":
        """The bags of these cases alone."""
        kept = {name: self.stores[name] for case in cases for name in case.slides}
        return replace(self, stores=kept)

    def with_scalers(self, scalers: Sequence[Scaler]) -> "Bags":
        """The same bags with a clinical vector from each of these."""
        return replace(self, scalers=tuple(scalers))

    @property
    def width(self) -> int:
        """D, the number of values of a tile (of each marker of it, where it has several)."""
        return int(self.identity["values"][-1])

    @property
    def scale_images(self) -> Mapping[str, str]:
        """The slides on which the scale of the markers was measured, and their fingerprints."""
        cohort = self.identity["encoder"].get("channels", {}).get("cohort")
        return cohort["slides"] if cohort else {}

    @property
    def markers(self) -> int | None:
        """M, the number of markers of the panel; None for features without that axis."""
        values = self.identity["values"]
        return int(values[0]) if len(values) > 1 else None

    def bag(self, case: Case) -> Bag:
        """The tiles of a case, features as they are stored.

        Slides of one patient lie side by side on one lattice, thousands of columns apart.

        Raises:
            InputError: the case is not among these.
            DataError: a slide has no tile to use, features that are not finite, or other markers
                than another slide of the case.
        """
        slides = [self._slide(case, name) for name in case.slides]
        self._refuse_other_markers(case)
        bag = _joined(slides)
        records = tuple(torch.tensor(each.encode(case.cells)) for each in self.scalers)
        return replace(bag, clinical=records) if records else bag

    def rows(self, slide_id: str) -> Tensor:
        """Which tiles of the slide's grid are in its bag ``(n,)`` int64, in the bag's order."""
        return torch.from_numpy(self._stored(slide_id).rows.astype(np.int64))

    def marker_names(self, slide_id: str) -> tuple[str, ...]:
        """The names along the marker axis of one slide, which may lack some of the panel's."""
        return self._stored(slide_id).markers

    def size(self, case: Case) -> int:
        """How many tiles the bag of a case has; features are not read."""
        return sum(len(self._stored(name).rows) for name in case.slides)

    def _refuse_other_markers(self, case: Case) -> None:
        """Refuse slides that dropped markers which others of the case have."""
        first, *others = case.slides
        for other in others if self.markers is not None else ():
            if self.marker_names(other) != self.marker_names(first):
                raise DataError(
                    f"case {case.case_id}: {other} has not the markers of {first}, which one bag "
                    "cannot hold; embed with --missing-marker zero, or train at --level slide"
                )

    def _slide(self, case: Case, slide_id: str) -> Bag:
        if slide_id not in self.stores:
            raise InputError(f"case {case.case_id}: slide {slide_id} is not among these bags")
        stored = self._stored(slide_id)
        xy, index = stored.places()
        return Bag(
            features=torch.from_numpy(stored.values(self.copiers)),
            coords=_integers(xy),
            lattice=_integers(index[:, ::-1]),  # (row, column) on disk
            segment=torch.zeros(len(xy), dtype=torch.int64),
        )

    def _stored(self, slide_id: str) -> StoredFeatures:
        if slide_id not in self.opened:
            store = self.stores[slide_id]
            self.opened[slide_id] = StoredFeatures(store, self.features, self.min_tissue)
        return self.opened[slide_id]


def open_bags(
    project: Path, cohort: Cohort, *, features: str | None = None, min_tissue: float = 0.0
) -> Bags:
    """The bags of a cohort, all of whose slides have stores in the project.

    Args:
        project: the folder of stores.
        cohort: the slides; see `wsi_tools.cohort.stores.with_stores`.
        features: ``<grid>/<backbone>``; None for the only ones.
        min_tissue: least share of tissue in a tile; never below what was embedded.

    Raises:
        InputError: the features are not there, or there are several.
        DataError: two slides' features are not of one kind, or a slide lacks them.
    """
    stores = {slide.slide_id: project / f"{slide.slide_id}{SUFFIX}" for slide in cohort.slides}
    one, *others = stores.values()
    first = StoredFeatures(one, choose_features(one, features), min_tissue)
    identity = agreed_identity(first, (open_features(store, first) for store in others))
    return Bags(stores, first.features, identity["min_tissue"], identity)


def _joined(slides: Sequence[Bag]) -> Bag:
    if len(slides) == 1:  # whose features need not be copied
        return slides[0]
    lengths = torch.tensor([len(slide) for slide in slides])
    return Bag(
        features=torch.cat([slide.features for slide in slides]),
        coords=torch.cat([slide.coords for slide in slides]),
        lattice=torch.cat(list(_side_by_side(slide.lattice for slide in slides))),
        segment=torch.repeat_interleave(lengths),
    )


def _side_by_side(lattices: Iterator[Tensor]) -> Iterator[Tensor]:
    """Lattices ``(n, 2)`` moved along x, so that each begins far behind the one before."""
    begin = 0
    for lattice in lattices:
        yield lattice + torch.tensor([begin, 0])
        begin += int(lattice[:, 0].max()) + SLIDE_GAP


def _integers(values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))
