"""(e) Stability: does ASMIL's anchor hold attention still between epochs, and is it still right?

A pull of the same weight towards uniform attention stands beside it: that holds it still as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from science_bench.key_tiles import DIM, draw, key_scores, unit_vector
from science_bench.measures import entropy, jensen_shannon
from science_bench.task import CHANCE, ORACLE, Figures, Size, Target, Task
from science_bench.training import Case, Schedule, answers, attention_auc, label_auc, made, training
from wsi_tools.mil import AttentionMIL, Bag, MILModel
from wsi_tools.mil.abmil import ABMIL
from wsi_tools.mil.asmil import TokenMIL
from wsi_tools.mil.clam import ClamSB
from wsi_tools.mil.stabilizer import Stabilized

__all__ = ["TASK", "PulledToUniform"]

DIVERGENCE, ATTENTION, ENTROPY, LABEL = "JS between epochs", "attention AUC", "entropy", "bag AUC"
FALLS, OVER_CONTROL, OVER_NONE = "JS ÷ none", "attention AUC − uniform", "attention AUC − none"


class PulledToUniform(Stabilized):
    """The control: the same divergence with the same weight, from 1/N for every tile."""

    def anchor_attention(self, bag: Bag) -> Tensor:
        """``(..., N)``, every tile alike."""
        scores = self.anchor.score(bag).scores
        return torch.full_like(scores, 1 / scores.shape[-1])


@dataclass(frozen=True)
class Entry:
    """A model to steady.

    Attributes:
        build: makes it without a stabiliser.
        shift: of the key tiles, in standard deviations.
        beta: weight of every pull.
        lr: constant learning rate; a step sees one bag.
        bags: times the training cases of the run's size.
    """

    build: Callable[[], AttentionMIL]
    shift: float
    beta: float
    lr: float
    bags: int = 1


ENTRIES = {
    "asmil": Entry(
        partial(TokenMIL, DIM, 2, dim=64, tokens=4, heads=4), shift=6, beta=1, lr=1e-3, bags=2
    ),
    "abmil": Entry(
        partial(ABMIL, DIM, 2, hidden_dim=64, attention_dim=32), shift=4, beta=10, lr=3e-3
    ),
    "clam-sb": Entry(
        partial(ClamSB, DIM, 2, hidden_dim=64, attention_dim=32), shift=4, beta=10, lr=3e-3
    ),
}


@dataclass(frozen=True)
class Pull:
    """A stabiliser, or what stands in its place; `beta` is the entry's if not given."""

    kind: type[Stabilized] = Stabilized
    beta: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def around(self, entry: Entry) -> MILModel:
        """The entry's model with this pull."""
        beta = entry.beta if self.beta is None else self.beta
        return self.kind(entry.build, beta=beta, **self.settings)


_FROZEN = {"anchor": "frozen", "start": "random"}
PULLS = {
    "none": Pull(beta=0.0),
    "uniform": Pull(PulledToUniform),
    "ema": Pull(),
    "frozen": Pull(settings=_FROZEN),
    "released": Pull(beta=1.0, settings=_FROZEN | {"reduction": "mean_all"}),
}
"""The release's frozen random anchor, with the same weight and as its own loss weighs it."""


def run(seed: int, size: Size) -> Figures:
    """Train every model with every pull, from the same weights on the same bags."""
    figures: dict[tuple[str, str], float] = {}
    for name, entry in ENTRIES.items():
        generator = torch.Generator().manual_seed(seed)
        shift = entry.shift * unit_vector(generator)
        cases = draw(entry.bags * size.train, shift, generator)
        others = draw(size.test, shift, generator)
        figures |= key_scores(f"{name}: {ORACLE}", others, partial(_along, shift))
        figures |= key_scores(f"{name}: {CHANCE}", others, partial(_guess, generator))
        for pull_name, pull in PULLS.items():
            model = made(seed, partial(pull.around, entry))
            schedule = Schedule(size.steps, batch=1, lr=entry.lr)
            figures |= _watched(f"{name}: {pull_name}", model, cases, others, schedule, seed)
        figures |= _compared(name, figures)
    return figures


def _along(shift: Tensor, case: Case) -> Tensor:
    return case.bag.tiles @ shift


def _guess(generator: torch.Generator, case: Case) -> Tensor:
    return torch.rand(len(case.bag), generator=generator)


def _watched(
    row: str,
    model: MILModel,
    cases: Sequence[Case],
    others: Sequence[Case],
    schedule: Schedule,
    seed: int,
) -> dict[tuple[str, str], float]:
    """Train, and compare the attention on the same other bags after every epoch."""
    seen = [_attention(model, others)]
    for step in training(model, cases, schedule, seed):
        if step % len(cases) == 0:
            seen.append(_attention(model, others))
    moved = [jensen_shannon(*pair) for pair in pairwise(seen)]
    return {
        (row, DIVERGENCE): sum(moved) / max(1, len(moved)),
        (row, ATTENTION): attention_auc(model, others),
        (row, ENTROPY): entropy(seen[-1]),
        (row, LABEL): label_auc(model, others),
    }


def _attention(model: MILModel, cases: Sequence[Case]) -> Tensor:
    return torch.stack([output.attention for output in answers(model, cases)])  # (bags, rows, N)


def _compared(name: str, figures: Figures) -> dict[tuple[str, str], float]:
    none, uniform = (f"{name}: {pull}" for pull in ("none", "uniform"))
    compared: dict[tuple[str, str], float] = {}
    for row in (f"{name}: {pull}" for pull in ("uniform", "ema", "frozen", "released")):
        attention = figures[row, ATTENTION]
        compared[row, FALLS] = figures[row, DIVERGENCE] / max(figures[none, DIVERGENCE], 1e-12)
        compared[row, OVER_CONTROL] = attention - figures[uniform, ATTENTION]
        compared[row, OVER_NONE] = attention - figures[none, ATTENTION]
    return compared


def _targets(name: str) -> tuple[Target, ...]:
    row = f"{name}: ema"
    return (
        Target(row, FALLS, high=1.0),
        Target(row, OVER_CONTROL, low=0.02, misses=1),
        Target(row, OVER_NONE, low=-0.05),
    )


TASK = Task(
    title="(e) Stability",
    run=run,
    targets=tuple(target for name in ENTRIES for target in _targets(name)),
    full=Size(train=100, test=100, steps=3000),
    toy=Size(train=4, test=6, steps=8),
)
