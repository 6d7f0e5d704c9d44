"""What a trained model says of one bag: logits, and the attentions over its tiles."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from wsi_tools.mil import Bag, MILModel, MILOutput
from wsi_tools.mil.layers import softmax
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.parts import cut, tiles_of
from wsi_tools.tasks import Classification, Task

__all__ = ["Answer", "MarkerMeans", "answer", "seed_of"]


@dataclass(frozen=True, eq=False)
class MarkerMeans:
    """The attention among the markers of each slide's tiles, summed with the tiles' attention.

    Attributes:
        total: ``(slides, M, M)``, the weighted sum over the tiles; a row asks.
        weight: ``(slides,)``, the sum of the weights.
    """

    total: Tensor
    weight: Tensor

    @classmethod
    def of(cls, markers: Tensor, attention: Tensor, segment: Tensor, slides: int) -> Self:
        """Sum ``(N, M, M)`` by slide, each tile by its ``(rows, N)`` attention, mean over rows."""
        share = attention.float().mean(dim=0)  # (N,)
        total = markers.new_zeros((slides, *markers.shape[1:]), dtype=torch.float32)
        total.index_add_(0, segment, share[:, None, None] * markers.float())
        weight = share.new_zeros(slides).index_add_(0, segment, share)
        return cls(total.cpu(), weight.cpu())

    def __add__(self, other: "MarkerMeans") -> "MarkerMeans":
        return MarkerMeans(self.total + other.total, self.weight + other.weight)

    @property
    def mean(self) -> Tensor:
        """``(slides, M, M)``; a row sums to one, or is NaN where no tile had any attention."""
        return self.total / self.weight[:, None, None]


@dataclass(frozen=True, eq=False)
class Answer:
    """One model on one bag, on the CPU.

    Attributes:
        logits: ``(width,)`` float32.
        attention: ``(rows, N)``, as the model's card describes it.
        pairs: ``(N, M, M)``, the attention among the markers of each tile, a row asks and sums to
            one; None for models that fuse none.
        matrix: the attention among the markers, by slide; None for models that fuse none.
        heads: ``(rows, heads, N)``, whose mean over the heads is the attention; None where there
            is one head.
        views: other attentions by name, ``(rows, N)`` over the tiles or a vector of anything else.
    """

    logits: Tensor
    attention: Tensor
    pairs: Tensor | None = None
    matrix: MarkerMeans | None = None
    heads: Tensor | None = None
    views: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def markers(self) -> Tensor | None:
        """``(N, M)``, the attention that each marker receives, mean over the asking ones."""
        return None if self.pairs is None else self.pairs.mean(dim=1)


@torch.no_grad()
def answer(
    model: MILModel,
    bag: Bag,
    task: Task,
    computing: Computing,
    *,
    bag_tiles: int | None = None,
    seed: Sequence[int] = (0,),
) -> Answer:
    """Read one bag, whole or in random parts whose answers are averaged.

    Args:
        model: in evaluation mode, on the device.
        bag: as it was read.
        task: what the logits mean.
        computing: the device and the precision.
        bag_tiles: largest part; None reads the bag whole.
        seed: of the parts.
    """
    bag = computing.take(bag)
    slides = int(bag.segment.max()) + 1
    if bag_tiles is None or len(bag) <= bag_tiles:
        return _plain(_forward(model, bag, computing), bag, model, slides)
    parts = cut(len(bag), bag_tiles, seed)
    answers = []
    for part in parts:
        tiles = tiles_of(bag, part)
        answers.append(_plain(_forward(model, tiles, computing), tiles, model, slides))
    return _averaged(answers, torch.cat(parts), model, task)


def seed_of(case_id: str) -> tuple[int, ...]:
    """The seed of a case's random parts in evaluation: the same wherever the case is read."""
    return (zlib.crc32(case_id.encode()),)


def _forward(model: MILModel, bag: Bag, computing: Computing) -> MILOutput:
    with computing.autocast():
        output: MILOutput = model(bag)
    return output


def _plain(output: MILOutput, bag: Bag, model: MILModel, slides: int) -> Answer:
    markers = output.marker_attention  # (N, M, M), a row asks
    return Answer(
        output.logits.float().cpu(),
        output.attention.float().cpu(),
        None if markers is None else markers.float().cpu(),
        None if markers is None else MarkerMeans.of(markers, output.attention, bag.segment, slides),
        _heads(output, model),
        {name: view.float().cpu() for name, view in output.views.items()},
    )


def _heads(output: MILOutput, model: MILModel) -> Tensor | None:
    """The weights of every head ``(rows, heads, N)``, where the model has several."""
    if output.scores.ndim < 3:
        return None
    weights = softmax(output.scores).float().cpu()
    return weights if model.card.rows == "classes" else weights.transpose(0, 1)


def _averaged(answers: Sequence[Answer], rows: Tensor, model: MILModel, task: Task) -> Answer:
    """One answer of parts whose tiles, in order, are the bag's `rows`."""
    back = rows.argsort()
    share = 1 / len(answers) if model.card.sums_to_one else 1.0

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=-1)[..., back]

    pairs = [each.pairs for each in answers if each.pairs is not None]
    matrices = [each.matrix for each in answers if each.matrix is not None]
    heads = [each.heads for each in answers if each.heads is not None]
    views = {name: [each.views[name] for each in answers] for name in answers[0].views}
    return Answer(
        _mean_logits(torch.stack([each.logits for each in answers]), task),
        joined([each.attention for each in answers]) * share,
        torch.cat(pairs)[back] if pairs else None,
        sum(matrices[1:], start=matrices[0]) if matrices else None,
        joined(heads) * share if heads else None,
        {
            name: joined(parts) if parts[0].ndim == 2 else torch.stack(parts).mean(dim=0)
            for name, parts in views.items()
        },
    )


def _mean_logits(logits: Tensor, task: Task) -> Tensor:
    """Of classes, the logits of the mean probabilities; else the mean logits."""
    if isinstance(task, Classification):
        return logits.log_softmax(dim=-1).logsumexp(dim=0) - torch.tensor(len(logits)).log()
    return logits.mean(dim=0)
