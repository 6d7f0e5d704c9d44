"""(c) Marker interplay: which markers agree tells the class, and no single marker does."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from science_bench.measures import auc
from science_bench.task import CHANCE, ORACLE, Figures, Size, Target, Task
from science_bench.training import Case, Schedule, answers, label_auc, labels_of, made, train
from wsi_tools.mil import Bag, MILModel, create_model

__all__ = ["TASK", "Panel", "draw"]

TILES, MARKERS, DIM = 50, 5, 32
IDENTITY, AMPLITUDE, NOISE = 2.0, 1.5, 0.2
PARTNERS = torch.zeros(MARKERS, MARKERS, dtype=torch.bool)
PARTNERS[[0, 1, 2, 3], [1, 0, 3, 2]] = True
"""The markers that belong together: the first two, and the next two."""

LABEL, PAIRS = "bag AUC", "partner AUC"
_HEAD = {"hidden_dim": 64, "attention_dim": 32}
ENTRIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "fluoroformer": ("fluoroformer", {"hidden_dim": 64}),
    "concat + gated-abmil": (
        "gated-abmil",
        _HEAD | {"channel_fusion": "concat", "channel_fusion.markers": MARKERS},
    ),
    "mean + gated-abmil": ("gated-abmil", _HEAD | {"channel_fusion": "mean"}),
}


class Panel:
    """What the markers look like.

    Attributes:
        identities: ``(M, D)``, what tells the markers apart.
        state: ``(D,)`` unit vector, shared by all markers, along which a marker is on or off.
    """

    def __init__(self, generator: Generator) -> None:
        drawn = torch.randn(MARKERS, DIM, generator=generator)
        self.identities = IDENTITY * normalize(drawn, dim=1)
        self.state = normalize(torch.randn(DIM, generator=generator), dim=0)

    def show(self, states: Tensor, generator: Generator) -> Tensor:
        """Noisy features ``(N, M, D)`` of ``(N, M)`` states of -1 or 1."""
        noise = NOISE * torch.randn(TILES, MARKERS, DIM, generator=generator)
        return self.identities + AMPLITUDE * states[:, :, None] * self.state + noise

    def seen(self, features: Tensor) -> Tensor:
        """Estimated states ``(N, M)`` of ``(N, M, D)`` features."""
        return (features - self.identities) @ self.state / AMPLITUDE


def draw(count: int, panel: Panel, generator: Generator) -> list[Case]:
    """In every tile of a positive case A and B differ and C and D agree; else the reverse.

    The fifth marker is on or off by itself. The sum over the markers has the same law in both.
    """
    return [_case(index % 2, panel, generator) for index in range(count)]


def _case(label: int, panel: Panel, generator: Generator) -> Case:
    states = torch.randint(0, 2, (TILES, MARKERS), generator=generator) * 2 - 1
    agree = 1 - 2 * label
    states[:, 1] = agree * states[:, 0]
    states[:, 3] = -agree * states[:, 2]
    features = panel.show(states, generator)
    return Case(Bag.of_slide(features), torch.tensor(label), torch.ones(TILES, dtype=torch.bool))


def run(seed: int, size: Size) -> Figures:
    """Train every fusion on the same bags, and ask it for the class of others."""
    generator = torch.Generator().manual_seed(seed)
    panel = Panel(generator)
    cases, others = (draw(count, panel, generator) for count in (size.train, size.test))
    truth = labels_of(others)
    figures = {
        (ORACLE, LABEL): auc(torch.stack([_evidence(panel, case) for case in others]), truth),
        (ORACLE, PAIRS): 1.0,
        (CHANCE, LABEL): auc(torch.rand(len(others), generator=generator), truth),
        (CHANCE, PAIRS): 0.5,
    }
    for row, (name, settings) in ENTRIES.items():
        model = made(seed, partial(create_model, name, DIM, 2, **settings))
        train(model, cases, Schedule(size.steps), seed)
        figures[row, LABEL] = label_auc(model, others)
        if row == "fluoroformer":
            figures[row, PAIRS] = _partner_auc(model, others)
    return figures


def _evidence(panel: Panel, case: Case) -> Tensor:
    first, second, third, fourth, _ = panel.seen(case.bag.features).unbind(dim=1)  # (N,) each
    return (third * fourth - first * second).mean()


def _partner_auc(model: MILModel, cases: Sequence[Case]) -> float:
    """Does the mean attention between two different markers single out the partners?"""
    read = [output.marker_attention for output in answers(model, cases)]
    mean = torch.stack([attention.mean(dim=0) for attention in read if attention is not None])
    between = ~torch.eye(MARKERS, dtype=torch.bool)
    return auc(mean.mean(dim=0)[between], PARTNERS[between])


TASK = Task(
    title="(c) Marker interplay",
    run=run,
    targets=(
        Target("fluoroformer", LABEL, low=0.95),
        Target("mean + gated-abmil", LABEL, low=0.42, high=0.58),
    ),
    full=Size(train=300, test=1000, steps=300),
    toy=Size(train=8, test=12, steps=3),
)
