"""From a model's answer to named scores of tiles: classes, heads, markers and views."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.heatmap.scores import ATTENTION
from wsi_tools.mil import card
from wsi_tools.prediction.answers import Answer
from wsi_tools.prediction.attention import row_names
from wsi_tools.tasks import Classification

__all__ = ["columns_of", "mean_columns", "predicted_class", "vectors_of"]

Column = NDArray[np.float32]
Columns = dict[str, Column]


def predicted_class(checkpoint: Checkpoint, values: dict[str, float], rows: int) -> str:
    """The most probable class, where a row of the attention belongs to each; else nothing."""
    task = checkpoint.task
    if not isinstance(task, Classification) or card(checkpoint.composition.name).rows != "classes":
        return ""
    likeliest = max(task.classes, key=lambda name: values[f"prob_{name}"])
    return likeliest if rows == len(task.classes) else ""


def columns_of(
    checkpoint: Checkpoint, answer: Answer, markers: Sequence[str], chosen: str
) -> Columns:
    """Every score that one model has of a bag's tiles, ``(n,)`` each.

    Args:
        checkpoint: the model's.
        answer: what it said.
        markers: their names.
        chosen: the class that ``attention`` is for; the mean over the rows where it is empty.
    """
    rows = row_names(checkpoint, len(answer.attention))
    attention = answer.attention.numpy()  # (rows, n)
    mean = f"{ATTENTION}:{chosen}"
    first = attention[rows.index(mean)] if chosen else attention.mean(axis=0)
    found = {ATTENTION: first, **dict(zip(rows, attention, strict=True))}
    found |= dict(_heads(answer, rows))
    found |= dict(_views(answer, rows))
    if answer.markers is not None:
        names = [f"marker:{name}" for name in markers]
        found |= dict(zip(names, answer.markers.numpy().T, strict=True))
    return found


def _heads(answer: Answer, rows: Sequence[str]) -> Iterator[tuple[str, Column]]:
    if answer.heads is not None:
        for name, heads in zip(rows, answer.heads.numpy(), strict=True):
            yield from ((f"{name}/head-{place}", head) for place, head in enumerate(heads))


def _views(answer: Answer, rows: Sequence[str]) -> Iterator[tuple[str, Column]]:
    """The views over the tiles, named as the rows of the attention where there are as many."""
    for name, view in answer.views.items():
        if view.ndim < 2:
            continue
        same = len(view) == len(rows)
        names = [row.replace(ATTENTION, name, 1) for row in rows] if same else [name]
        yield from zip(names, view.numpy(), strict=True)


def mean_columns(several: Sequence[Columns], *, tokens: bool) -> Columns:
    """The mean over models of every score that means the same in each.

    Heads are learnt anew by every model, and so are the tokens of models whose rows are tokens:
    the third of one is not the third of another, so those are given for a single model alone.
    """
    first, *others = several
    if not others:
        return first
    own = ("/head-", f"{ATTENTION}:" if tokens else "/head-")
    shared = [name for name in first if not any(each in name for each in own)]
    return {name: np.mean([each[name] for each in several], axis=0) for name in shared}


def vectors_of(checkpoint: Checkpoint, answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """The views that are no numbers of tiles, mean over the models; by class where there is one."""
    found = {}
    for name, first in answers[0].views.items():
        if first.ndim < 2:
            mean = np.mean([answer.views[name].numpy() for answer in answers], axis=0)
            outputs = [column.removeprefix("prob_") for column in checkpoint.task.columns]
            names = outputs if len(outputs) == len(mean) else [str(k) for k in range(len(mean))]
            found[name] = dict(zip(names, mean.tolist(), strict=True))
    return found
