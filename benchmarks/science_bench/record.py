"""(d) The record decides: a clinical value picks the type of tile that counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from science_bench.measures import auc
from science_bench.task import CHANCE, ORACLE, Figures, Size, Target, Task
from science_bench.training import Case, Schedule, answers, label_auc, labels_of, made, train
from wsi_tools.mil import Bag, MILModel, create_model

__all__ = ["TASK", "Story", "draw"]

OF_EACH, DIM, LENGTH, NOISE = 10, 16, 2.0, 0.3
BACKGROUND = 2
LABEL, FOLLOWS, FLIPPED = "bag AUC", "exploratory AUC", "exploratory AUC, record flipped"
ENTRIES = ("persam", "image only", "record only")
SETTINGS: Mapping[str, Any] = {"dim": 64, "heads": 4, "ffn_dim": 64}


@dataclass(frozen=True, eq=False)
class Story:
    """A case before anyone looks at it.

    Attributes:
        features: ``(30, D)``, ten tiles of type A, ten of type B and ten of background, shuffled.
        kinds: ``(30,)``, 0 for A, 1 for B, 2 for background.
        signs: ``(2,)`` of -1 or 1: the sign of the A tiles and that of the B tiles.
        picked: the type that counts, 0 or 1, as the record says.
    """

    features: Tensor
    kinds: Tensor
    signs: Tensor
    picked: int

    @property
    def record(self) -> Tensor:
        """The clinical table ``(1,)``: -1 picks A, 1 picks B."""
        return torch.tensor([2.0 * self.picked - 1])

    def told(self, features: Tensor | None = None, record: Tensor | None = None) -> Case:
        """The case, with something else in place of its features or its record if given."""
        bag = Bag.of_slide(
            self.features if features is None else features,
            clinical=(self.record if record is None else record,),
        )
        return Case(bag, (self.signs[self.picked] > 0).long(), self.kinds == self.picked)

    def seen_by(self, reader: str) -> Case:
        """What a reader of the table sees of it; the others get zeros."""
        if reader == "image only":
            return self.told(record=torch.zeros(1))
        if reader == "record only":
            return self.told(features=torch.zeros_like(self.features))
        return self.told()

    def flipped(self) -> "Story":
        """The same tiles with the other record, which changes what counts."""
        return replace(self, picked=1 - self.picked)


def draw(count: int, generator: Generator) -> list[Story]:
    """Stories over one random set of axes: the two types', and the one that signs point along."""
    axes = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator)).Q[:3] * LENGTH
    return [_story(axes, generator) for _ in range(count)]


def _story(axes: Tensor, generator: Generator) -> Story:
    kinds = torch.randperm(3 * OF_EACH, generator=generator) // OF_EACH
    signs, picked = _coins(2, generator), int(torch.randint(0, 2, (), generator=generator))
    sign = torch.where(
        kinds == BACKGROUND, _coins(len(kinds), generator), signs[kinds.clamp(max=1)]
    )
    types = torch.cat((axes[:2], torch.zeros(1, DIM)))  # background has no type
    noise = NOISE * torch.randn(len(kinds), DIM, generator=generator)
    return Story(types[kinds] + sign[:, None] * axes[2] + noise, kinds, signs, picked)


def _coins(count: int, generator: Generator) -> Tensor:
    return torch.randint(0, 2, (count,), generator=generator) * 2 - 1


def run(seed: int, size: Size) -> Figures:
    """Train PersAM on whole cases, on images alone and on records alone."""
    generator = torch.Generator().manual_seed(seed)
    stories = draw(size.train + size.test, generator)
    known, others = stories[: size.train], stories[size.train :]
    figures = _bounds(others, generator)
    for row in ENTRIES:
        model = made(seed, partial(create_model, "persam", DIM, 2, tables=(1,), **SETTINGS))
        train(model, [story.seen_by(row) for story in known], Schedule(size.steps), seed)
        figures[row, LABEL] = label_auc(model, [story.seen_by(row) for story in others])
        if row == "persam":
            figures[row, FOLLOWS] = _exploratory_auc(model, others)
            figures[row, FLIPPED] = _exploratory_auc(model, [story.flipped() for story in others])
    return figures


def _bounds(stories: Sequence[Story], generator: Generator) -> dict[tuple[str, str], float]:
    """Rows of who knows the signs, with and without the record, and of who guesses."""
    truth = labels_of([story.told() for story in stories])
    signs = torch.stack([story.signs for story in stories])  # (stories, 2)
    picked = torch.tensor([story.picked for story in stories])
    return {
        (ORACLE, LABEL): auc(signs.gather(1, picked[:, None]).squeeze(1), truth),
        (ORACLE, FOLLOWS): 1.0,
        (ORACLE, FLIPPED): 1.0,
        ("oracle, image only", LABEL): auc(signs.sum(dim=1), truth),
        (CHANCE, LABEL): auc(torch.rand(len(stories), generator=generator), truth),
        (CHANCE, FOLLOWS): 0.5,
        (CHANCE, FLIPPED): 0.5,
    }


def _exploratory_auc(model: MILModel, stories: Sequence[Story]) -> float:
    """Does the attention of the record's tokens single out the tiles of the picked type?"""
    cases = [story.told() for story in stories]
    read = zip(answers(model, cases), cases, strict=True)
    found = [auc(output.views["exploratory"].squeeze(0), case.keys) for output, case in read]
    return float(torch.tensor(found).mean())


TASK = Task(
    title="(d) The record decides",
    run=run,
    targets=(
        Target("persam", LABEL, low=0.97),
        Target("persam", FOLLOWS, low=0.9),
        Target("persam", FLIPPED, low=0.9),
        Target("image only", LABEL, high=0.90),
        Target("record only", LABEL, low=0.40, high=0.60),
    ),
    full=Size(train=400, test=600, steps=300),
    toy=Size(train=8, test=12, steps=3),
)
