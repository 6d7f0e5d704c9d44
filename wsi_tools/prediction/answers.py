"""What a trained model says of one bag: logits, and the attention over its tiles."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wsi_tools.mil import Bag, MILModel, MILOutput
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.parts import cut, tiles_of
from wsi_tools.tasks import Classification, Task

__all__ = ["Answer", "answer", "seed_of"]


@dataclass(frozen=True, eq=False)
class Answer:
    """One model on one bag, on the CPU.

    Attributes:
        logits: ``(width,)`` float32.
        attention: ``(rows, N)``, as the model's card describes it.
        markers: ``(N, M)``, the attention that each marker receives, mean over the asking ones;
            None for models that fuse none.
    """

    logits: Tensor
    attention: Tensor
    markers: Tensor | None = None


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
    if bag_tiles is None or len(bag) <= bag_tiles:
        return _plain(_forward(model, bag, computing))
    parts = cut(len(bag), bag_tiles, seed)
    answers = [_plain(_forward(model, tiles_of(bag, part), computing)) for part in parts]
    return _averaged(answers, torch.cat(parts), model, task)


def seed_of(case_id: str) -> tuple[int, ...]:
    """The seed of a case's random parts in evaluation: the same wherever the case is read."""
    return (zlib.crc32(case_id.encode()),)


def _forward(model: MILModel, bag: Bag, computing: Computing) -> MILOutput:
    with computing.autocast():
        output: MILOutput = model(bag)
    return output


def _plain(output: MILOutput) -> Answer:
    markers = output.marker_attention  # (N, M, M), a row asks
    received = None if markers is None else markers.mean(dim=1).float().cpu()  # (N, M)
    return Answer(output.logits.float().cpu(), output.attention.float().cpu(), received)


def _averaged(answers: Sequence[Answer], rows: Tensor, model: MILModel, task: Task) -> Answer:
    """One answer of parts whose tiles, in order, are the bag's `rows`."""
    back = rows.argsort()
    share = 1 / len(answers) if model.card.sums_to_one else 1.0
    attention = torch.cat([each.attention for each in answers], dim=-1)[:, back] * share
    received = [each.markers for each in answers if each.markers is not None]
    logits = torch.stack([each.logits for each in answers])  # (parts, width)
    return Answer(
        _mean_logits(logits, task), attention, torch.cat(received)[back] if received else None
    )


def _mean_logits(logits: Tensor, task: Task) -> Tensor:
    """Of classes, the logits of the mean probabilities; else the mean logits."""
    if isinstance(task, Classification):
        return logits.log_softmax(dim=-1).logsumexp(dim=0) - torch.tensor(len(logits)).log()
    return logits.mean(dim=0)
