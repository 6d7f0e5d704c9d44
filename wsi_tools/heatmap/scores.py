"""What trained models make of every tile of one slide: a column of scores per name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import InputError
from wsi_tools.prediction.table import as_csv
from wsi_tools.store import FeatureStore
from wsi_tools.tiling import TileGrid

__all__ = ["ATTENTION", "Judges", "Known", "MarkerMatrix", "TileScores"]

ATTENTION = "attention"
"""The score that every model has."""

Known = Literal["tested", "learnt", "new"]


@dataclass(frozen=True)
class Judges:
    """The models that looked at a slide, and what they knew of it.

    Attributes:
        models: their names, such as ``fold-2``.
        known: the slide was ``tested`` on by them, they ``learnt`` from it (or were chosen by it),
            or it is ``new`` to them.
    """

    models: tuple[str, ...]
    known: Known

    def __str__(self) -> str:
        many = len(self.models) > 1
        who = f"mean of {len(self.models)} models" if many else self.models[0]
        what = {
            "tested": "tested on this slide",
            "learnt": "learnt from this slide",
            "new": "new to this slide",
        }
        return f"{who}, {what[self.known]}"


@dataclass(frozen=True, eq=False)
class MarkerMatrix:
    """The attention among the markers of one slide's tiles.

    Attributes:
        names: of the M markers.
        values: ``(M, M)`` float32, what the marker of a row gives to that of a column, mean over
            the tiles weighted by their attention; a row sums to one.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def csv(self) -> str:
        """The table ``marker,…``: a row asks, a column receives."""
        rows = zip(self.names, self.values.astype(str).tolist(), strict=True)
        return as_csv(("marker", *self.names), [(name, *row) for name, row in rows])


@dataclass(frozen=True, eq=False)
class TileScores:
    """The scores of one slide, a row per tile of its grid.

    Attributes:
        slide_id: the slide.
        store: its store.
        grid: its tiles.
        names: of the scores: ``attention``, ``attention:CLASS``, ``attention:CLASS/head-0``,
            ``marker:NAME``, or a view of the model such as ``exploratory``.
        values: ``(N, len(names))`` float32; NaN where a tile was left out.
        predicted: by column of the predictions, what the models say of the case.
        judges: which models.
        of: the class that ``attention`` is for, where there is a row per class; else empty.
        markers: the attention among the markers; None for features without that axis.
        vectors: what a model offers besides that is no number per tile, by name.
    """

    slide_id: str
    store: Path
    grid: TileGrid
    names: tuple[str, ...]
    values: NDArray[np.float32]
    predicted: Mapping[str, float]
    judges: Judges
    of: str = ""
    markers: MarkerMatrix | None = field(default=None, repr=False)
    vectors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def score(self, name: str = ATTENTION) -> NDArray[np.float32]:
        """One column ``(N,)``.

        Raises:
            InputError: there is none of that name; those that are there are named.
        """
        if name not in self.names:
            raise InputError(f"--score {name}: the model offers {', '.join(self.names)}")
        return self.values[:, self.names.index(name)]

    def feature_store(self) -> FeatureStore:
        """The slide's store, open for reading."""
        return FeatureStore(self.store)

    def csv(self) -> str:
        """The table ``slide_id,x,y,width,height,…`` in level-0 pixels; blank where left out."""
        sides = [f"{side:.10g}" for side in self.grid.level0_px]
        header = ("slide_id", "x", "y", "width", "height", *self.names)
        numbers = np.where(np.isnan(self.values), "", self.values.astype(str)).tolist()
        rows = zip(self.grid.xy.tolist(), numbers, strict=True)
        return as_csv(header, [(self.slide_id, *xy, *sides, *row) for xy, row in rows])
