"""(b) Position: are the two marked tiles of a lattice neighbours, or far apart?"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from science_bench.measures import auc
from science_bench.task import CHANCE, ORACLE, Figures, Size, Target, Task
from science_bench.training import Case, Schedule, label_auc, labels_of, made, train
from wsi_tools.mil import Bag, create_model

__all__ = ["LATTICE", "TASK", "draw", "fair", "far", "near"]

SIDE, DIM, MARK, NOISE = 8, 8, 3.0, 0.1
LATTICE = torch.stack((torch.arange(SIDE**2) % SIDE, torch.arange(SIDE**2) // SIDE), dim=1)
"""Column and row ``(64, 2)`` of every tile."""

LABEL = "bag AUC"
_HEAD = {"hidden_dim": 64, "attention_dim": 32}
_ENCODER = {"encoder": "roformer", "encoder.dim": 64, "encoder.heads": 2, "encoder.dropout": 0.0}
ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "rotary, pixel": _HEAD | _ENCODER | {"encoder.rotary": "pixel"},
    "rotary, lang": _HEAD | _ENCODER | {"encoder.rotary": "lang"},
    "sine": _HEAD | _ENCODER | {"encoder.rotary": "none", "encoder.position": "sine"},
    "no positions": _HEAD | _ENCODER | {"encoder.rotary": "none"},
    "no encoder": _HEAD,
}
"""What stands before the gated ABMIL head."""


def near() -> Tensor:
    """Which pairs of tiles ``(64, 64)`` share an edge."""
    return _apart().sum(dim=-1) == 1


def far() -> Tensor:
    """Which pairs of tiles ``(64, 64)`` are three or more columns or rows apart."""
    return _apart().amax(dim=-1) >= 3


def fair(allowed: Tensor) -> Tensor:
    """Chances ``(n, n)`` of the allowed pairs under which first and second are each uniform.

    Sinkhorn's scaling. Without it a far pair would tend to the edges, and the place of a single
    tile would tell the class.
    """
    chances = allowed.double()
    for _ in range(1000):  # enough for sums that agree to nine digits
        chances = chances / chances.sum(dim=1, keepdim=True)
        chances = chances / chances.sum(dim=0, keepdim=True)
    return chances / chances.sum()


def _apart() -> Tensor:
    return (LATTICE[:, None] - LATTICE[None]).abs()


def draw(count: int, generator: Generator) -> list[Case]:
    """Full lattices with one A and one B tile, every other one positive: A and B share an edge."""
    return [
        _case(label, int(pair), generator)
        for label, pairs in enumerate((fair(far()), fair(near())))
        for pair in torch.multinomial(pairs.flatten(), count // 2, True, generator=generator)
    ]


def _case(label: int, pair: int, generator: Generator) -> Case:
    first, second = divmod(pair, SIDE**2)
    features = NOISE * torch.randn(SIDE**2, DIM, generator=generator)
    features[first, 0] += MARK
    features[second, 1] += MARK
    keys = torch.zeros(SIDE**2, dtype=torch.bool)
    keys[[first, second]] = True
    return Case(Bag.of_slide(features, LATTICE), torch.tensor(label), keys)


def run(seed: int, size: Size) -> Figures:
    """Train every encoder on the same bags, and ask it for the class of others."""
    generator = torch.Generator().manual_seed(seed)
    cases, others = (draw(count, generator) for count in (size.train, size.test))
    truth = labels_of(others)
    figures = {
        (ORACLE, LABEL): auc(-torch.stack([_distance(case) for case in others]), truth),
        (CHANCE, LABEL): auc(torch.rand(len(others), generator=generator), truth),
    }
    for row, settings in ENTRIES.items():
        model = made(seed, partial(create_model, "gated-abmil", DIM, 2, **settings))
        train(model, cases, Schedule(size.steps, batch=16, lr=3e-3), seed)
        figures[row, LABEL] = label_auc(model, others)
    return figures


def _distance(case: Case) -> Tensor:
    """Between the tiles that stand out in the two marked features."""
    first, second = case.bag.features[:, :2].argmax(dim=0)
    return (LATTICE[first] - LATTICE[second]).abs().sum()


TASK = Task(
    title="(b) Position",
    run=run,
    targets=(
        Target("rotary, pixel", LABEL, low=0.97),
        Target("no positions", LABEL, low=0.40, high=0.60),
        Target("no encoder", LABEL, low=0.40, high=0.60),
    ),
    full=Size(train=800, test=800, steps=800),
    toy=Size(train=32, test=12, steps=2),
)
