"""(a) Key tiles: two tiles of a hundred make a bag positive; does attention find them?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from science_bench.measures import auc
from science_bench.task import CHANCE, ORACLE, Figures, Size, Target, Task
from science_bench.training import (
    Case,
    Schedule,
    attention_auc,
    label_auc,
    labels_of,
    made,
    train,
)
from wsi_tools.mil import Bag, create_model

__all__ = ["DIM", "TASK", "draw", "key_scores", "unit_vector"]

TILES, KEYS, DIM, SHIFT = 100, 2, 32, 6.0
LABEL, ATTENTION = "bag AUC", "attention AUC"


@dataclass(frozen=True)
class Entry:
    """A model of the table; `pace` times the steps of the run's size."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pace: float = 1.0


_NARROW = {"hidden_dim": 64, "attention_dim": 32}
_ROTARY = {"encoder": "roformer", "encoder.dim": 64, "encoder.heads": 4, "encoder.dropout": 0.0}
ENTRIES = {
    "abmil": Entry("abmil", _NARROW),
    "gated-abmil": Entry("gated-abmil", _NARROW),
    "class-attention": Entry(
        "class-attention", {"hidden_dim": 64, "attention_dim": 64, "heads": 4}
    ),
    "dsmil": Entry("dsmil"),
    "asmil": Entry("asmil", {"dim": 64, "tokens": 4, "heads": 4}, pace=4 / 3),
    "roformer + gated-abmil": Entry("gated-abmil", _NARROW | _ROTARY, pace=2 / 3),
}


def unit_vector(generator: Generator) -> Tensor:
    """A random direction ``(DIM,)`` of length one."""
    return normalize(torch.randn(DIM, generator=generator), dim=0)


def draw(count: int, shift: Tensor, generator: Generator) -> list[Case]:
    """Cases of standard normal tiles, every other one positive: its keys are moved by `shift`."""
    return [_case(index % 2, shift, generator) for index in range(count)]


def _case(label: int, shift: Tensor, generator: Generator) -> Case:
    keys = torch.zeros(TILES, dtype=torch.bool)
    keys[torch.randperm(TILES, generator=generator)[: KEYS * label]] = True
    features = torch.randn(TILES, DIM, generator=generator) + keys[:, None] * shift  # (N, D)
    return Case(Bag.of_slide(features), torch.tensor(label), keys)


def run(seed: int, size: Size) -> Figures:
    """Train every model on the same bags, and ask it for the labels and the key tiles of others."""
    generator = torch.Generator().manual_seed(seed)
    shift = SHIFT * unit_vector(generator)
    cases, others = (draw(count, shift, generator) for count in (size.train, size.test))
    figures = key_scores(ORACLE, others, lambda case: case.bag.tiles @ shift)
    figures |= key_scores(CHANCE, others, lambda _: torch.rand(TILES, generator=generator))
    for row, entry in ENTRIES.items():
        model = made(seed, partial(create_model, entry.name, DIM, 2, **entry.settings))
        train(model, cases, Schedule(round(entry.pace * size.steps)), seed)
        figures[row, LABEL] = label_auc(model, others)
        figures[row, ATTENTION] = attention_auc(model, others)
    return figures


def key_scores(
    row: str, cases: Sequence[Case], score: Callable[[Case], Tensor]
) -> dict[tuple[str, str], float]:
    """Figures of who scores the tiles ``(N,)``: highest against label, all against the keys."""
    scores = [score(case) for case in cases]
    highest = torch.stack([found.max() for found in scores])
    read = zip(scores, cases, strict=True)
    aucs = torch.tensor([auc(found, case.keys) for found, case in read if case.label])
    return {(row, LABEL): auc(highest, labels_of(cases)), (row, ATTENTION): float(aucs.mean())}


TASK = Task(
    title="(a) Key tiles",
    run=run,
    targets=tuple(
        Target(row, ATTENTION, low=0.95, misses=1)
        if row == "dsmil"
        else Target(row, ATTENTION, low=0.97)
        for row in ENTRIES
    ),
    full=Size(train=300, test=400, steps=300),
    toy=Size(train=8, test=12, steps=3),
)
