"""Which models are trained how on every set, and what the literature says they reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from wsi_tools.mil import MILModel, create_model
from wsi_tools.mil.layers import projection
from wsi_tools.training import Recipe

__all__ = ["CONTESTS", "PUBLISHED", "Contest", "Published", "Size"]

FRONT = (256, 128, 64)


@dataclass(frozen=True)
class Size:
    """How much of the benchmark is run; `epochs` limits every recipe."""

    folds: int = 10
    repeats: int = 3
    epochs: int = 100


@dataclass(frozen=True)
class Contest:
    """A model, and how it is trained.

    Attributes:
        model: its name.
        protocol: ``paper``: no validation, the last epoch; ``honest``: a part of the training bags
            validates, and its loss chooses the epoch.
        build: from the width of the tiles to a model of two classes.
        recipe: the training, by the name of the set.
        repeats: of the cross-validation, at most.
    """

    model: str
    protocol: str
    build: Callable[[int], MILModel]
    recipe: Callable[[str], Recipe]
    repeats: int = 3

    @property
    def val(self) -> float:
        """The share of all bags that validates."""
        return 0.15 if self.protocol == "honest" else 0.0


@dataclass(frozen=True)
class Published:
    """Mean accuracy of Ilse et al. 2018 (table 1), and how far from it is still the same."""

    accuracy: float
    within: float = 0.03


PUBLISHED: Mapping[tuple[str, str], Published] = {
    ("musk1", "abmil"): Published(0.892, within=0.04),  # 92 bags: one is 0.011
    ("musk1", "gated-abmil"): Published(0.900, within=0.04),
    ("elephant", "abmil"): Published(0.868),
    ("elephant", "gated-abmil"): Published(0.857),
    ("tiger", "abmil"): Published(0.839),
    ("tiger", "gated-abmil"): Published(0.845),
}

_RATE_AND_DECAY = {"musk1": (5e-4, 0.005), "elephant": (1e-4, 0.005), "tiger": (1e-4, 0.01)}
_FIXED = Recipe(schedule="constant", epochs=100, patience=0, accumulate=1)


def of_the_paper(bag_set: str) -> Recipe:
    """Ilse et al. 2018, appendix: momentum 0.9 on the classical sets, Adam on digits."""
    if bag_set not in _RATE_AND_DECAY:
        return replace(_FIXED, optimizer="adam", lr=5e-4, weight_decay=1e-4)
    lr, decay = _RATE_AND_DECAY[bag_set]
    return replace(_FIXED, optimizer="sgd", momentum=0.9, lr=lr, weight_decay=decay)


def usual(_: str) -> Recipe:
    """What ``wsitools train`` does unless told otherwise."""
    return Recipe(accumulate=1)


def small(name: str, width: int) -> MILModel:
    """Attention of width 64 behind the paper's three narrow layers, each with dropout 0.5."""
    model: Any = create_model(name, width, 2, hidden_dim=FRONT[-1], attention_dim=64)
    widths = zip((width, *FRONT), FRONT, strict=False)
    model.project = nn.Sequential(*(projection(a, b, dropout=0.5) for a, b in widths))
    return model


def default(name: str, width: int, settings: Mapping[str, Any]) -> MILModel:
    """A model as ``wsitools train`` makes it."""
    return create_model(name, width, 2, **settings)


_SHORT: Mapping[str, Mapping[str, Any]] = {
    "dsmil": {},
    "clam-sb": {},
    "asmil": {"dim": 128},
    "transmil": {"dim": 128, "landmarks": 8},
}

CONTESTS = (
    *(
        Contest(name, protocol, partial(small, name), of_the_paper)
        for protocol in ("paper", "honest")
        for name in ("abmil", "gated-abmil")
    ),
    *(
        Contest(name, "honest", partial(default, name, settings=settings), usual, repeats=1)
        for name, settings in _SHORT.items()
    ),
)
"""In the order of the tables."""
