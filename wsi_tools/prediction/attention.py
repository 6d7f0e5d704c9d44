"""Attention of every tile of a slide's grid, by model and row; NaN where one was left out."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.cohort.bags import Bags
from wsi_tools.mil import card
from wsi_tools.prediction.ensemble import Prediction
from wsi_tools.store import FeatureStore

__all__ = ["TileAttention", "attention_maps", "row_names"]


@dataclass(frozen=True, eq=False)
class TileAttention:
    """The attention over one slide, a row per tile of its grid.

    Attributes:
        slide_id: the slide.
        grid: the key of its grid.
        xy: ``(N, 2)`` top left corners, level-0 pixels.
        index: ``(N, 2)`` (row, column) on the lattice.
        names: of the columns: the class, token or bag a weight is for, and ``marker:NAME`` for
            what a marker receives; after the fold and a slash, where there are several models.
        weights: ``(N, columns)`` float32.
        markers: names of the M markers, of models that fuse some.
        pairs: ``(N, M, M)`` float32, the attention among the markers of each tile, mean over the
            models; a row asks and sums to one. None for models that fuse none.
    """

    slide_id: str
    grid: str
    xy: NDArray[np.int32]
    index: NDArray[np.int32]
    names: tuple[str, ...]
    weights: NDArray[np.float32]
    markers: tuple[str, ...] = ()
    pairs: NDArray[np.float32] | None = None

    def csv(self) -> str:
        """The table ``x,y,row,column,…``."""
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("x", "y", "row", "column", *self.names))
        places = np.hstack((self.xy, self.index)).tolist()
        for place, weights in zip(places, self.weights.tolist(), strict=True):
            table.writerow((*place, *weights))
        return text.getvalue()


def attention_maps(
    prediction: Prediction, checkpoints: Sequence[Checkpoint], bags: Bags
) -> Iterator[TileAttention]:
    """The attention over each slide of a case."""
    pairs = _pairs(prediction)
    markers = () if pairs is None else bags.marker_names(prediction.case.slides[0])
    names, weights = _columns(prediction, checkpoints, markers)
    first, key = 0, bags.features.grid
    for slide_id in prediction.case.slides:
        rows = bags.rows(slide_id).numpy()
        here = slice(first, first + len(rows))
        grid = FeatureStore(bags.stores[slide_id]).grid(key)
        yield TileAttention(
            slide_id=slide_id,
            grid=key,
            xy=grid.xy,
            index=grid.index,
            names=tuple(names),
            weights=_on_grid(len(grid), rows, weights[here]),
            markers=markers,
            pairs=None if pairs is None else _on_grid(len(grid), rows, pairs[here]),
        )
        first = here.stop


def _on_grid(
    tiles: int, rows: NDArray[np.int64], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Values ``(n, ...)`` of some rows of a grid, NaN in the others."""
    full = np.full((tiles, *values.shape[1:]), np.nan, np.float32)
    full[rows] = values
    return full


def _pairs(prediction: Prediction) -> NDArray[np.float32] | None:
    """``(n, M, M)`` of the tiles of the whole bag, mean over the models."""
    known = [answer.pairs.numpy() for answer in prediction.answers if answer.pairs is not None]
    return np.mean(known, axis=0, dtype=np.float32) if known else None


def _columns(
    prediction: Prediction, checkpoints: Sequence[Checkpoint], markers: Sequence[str]
) -> tuple[list[str], NDArray[np.float32]]:
    """Names and weights ``(n, columns)`` of the tiles of the whole bag."""
    names: list[str] = []
    weights: list[NDArray[np.float32]] = []
    several = zip(checkpoints, _prefixes(checkpoints), prediction.answers, strict=True)
    for checkpoint, before, answer in several:
        rows = row_names(checkpoint, len(answer.attention))
        names += [before + name for name in rows]
        weights.append(answer.attention.numpy().T)  # (n, rows)
        if answer.markers is not None:
            names += [f"{before}marker:{name}" for name in markers]
            weights.append(answer.markers.numpy())  # (n, M)
    return names, np.hstack(weights)


def _prefixes(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """What tells several models apart: seed, repeat and fold, as far as they differ."""
    origins = [checkpoint.origin for checkpoint in checkpoints]
    differing = [
        name
        for name in ("seed", "repeat", "fold")
        if len({getattr(origin, name) for origin in origins}) > 1
    ]
    return ["".join(f"{name}-{getattr(each, name)}/" for name in differing) for each in origins]


def row_names(checkpoint: Checkpoint, count: int) -> list[str]:
    """What the rows of a model's attention stand for: a class, or a token or time bin by number."""
    if count == 1:
        return ["attention"]
    kind = card(checkpoint.composition.name).rows
    outputs = [
        name.removeprefix("prob_") for name in checkpoint.task.columns if name.startswith("prob_")
    ]
    if kind == "classes" and len(outputs) == count:
        return [f"attention:{name}" for name in outputs]
    return [f"attention:{place}" for place in range(count)]
