"""Train a model on cases held in memory, and read its answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from science_bench.measures import auc
from wsi_tools.mil.bag import Bag, MILModel, MILOutput

__all__ = [
    "Case",
    "Schedule",
    "answers",
    "attention_auc",
    "attention_row",
    "label_auc",
    "labels_of",
    "made",
    "train",
    "training",
]


@dataclass(frozen=True, eq=False)
class Case:
    """A bag, its class, and the truth about its tiles.

    Attributes:
        bag: what a model sees.
        label: ``()`` int64, 0 or 1.
        keys: ``(N,)`` bool, the tiles that the label hangs on.
    """

    bag: Bag
    label: Tensor
    keys: Tensor


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: AdamW at a constant learning rate, `batch` bags in each step."""

    steps: int
    batch: int = 8
    lr: float = 1e-3
    weight_decay: float = 1e-4


def made(seed: int, build: Callable[[], MILModel]) -> MILModel:
    """Build a model whose weights follow from `seed` alone."""
    torch.manual_seed(seed)
    return build()


def train(model: MILModel, cases: Sequence[Case], schedule: Schedule, seed: int) -> None:
    """Train to the end; see `training`."""
    for _ in training(model, cases, schedule, seed):
        pass


def training(
    model: MILModel, cases: Sequence[Case], schedule: Schedule, seed: int
) -> Iterator[int]:
    """Train on shuffled cases, giving the number of steps done after each one.

    The order of the cases, dropout and everything else at random follow from `seed` alone.
    """
    torch.manual_seed(seed)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        weights, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True
    )
    order = _shuffled(len(cases), schedule.batch)
    for step in range(1, schedule.steps + 1):
        model.train()
        optimiser.zero_grad()
        for index in next(order):
            (_loss(model, cases[index]) / schedule.batch).backward()  # type: ignore[no-untyped-call] # torch's own
        optimiser.step()
        model.after_step()
        yield step


def _loss(model: MILModel, case: Case) -> Tensor:
    output = model(case.bag, case.label)
    loss: Tensor = output.total(functional.cross_entropy(output.logits, case.label))
    return loss


def _shuffled(cases: int, batch: int) -> Iterator[list[int]]:
    while True:
        order = torch.randperm(cases).tolist()
        yield from (order[i : i + batch] for i in range(0, cases - batch + 1, batch))


def labels_of(cases: Sequence[Case]) -> Tensor:
    """Which cases are positive, ``(cases,)`` bool."""
    return torch.stack([case.label for case in cases]) == 1


@torch.no_grad()
def answers(model: MILModel, cases: Sequence[Case]) -> list[MILOutput]:
    """What the model says of every case, in evaluation mode."""
    model.eval()
    return [model(case.bag) for case in cases]


def label_auc(model: MILModel, cases: Sequence[Case]) -> float:
    """AUC of the logit difference against the label."""
    logits = torch.stack([output.logits for output in answers(model, cases)])  # (cases, 2)
    return auc(logits[:, 1] - logits[:, 0], labels_of(cases))


def attention_auc(model: MILModel, cases: Sequence[Case]) -> float:
    """AUC of a bag's attention against its key tiles, mean of the bags that have any."""
    with_keys = [case for case in cases if case.keys.any()]
    outputs = zip(answers(model, with_keys), with_keys, strict=True)
    found = [auc(attention_row(model, output, case.label), case.keys) for output, case in outputs]
    return sum(found) / len(found)


def attention_row(model: MILModel, output: MILOutput, label: Tensor) -> Tensor:
    """One display attention ``(N,)``: the true class's row, or the mean over bag or tokens."""
    by_class = model.card.rows == "classes"
    return output.attention[label] if by_class else output.attention.mean(dim=0)
