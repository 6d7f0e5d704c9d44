"""How a model is trained: one value for every knob, and the recipes of the papers by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from wsi_tools.errors import InputError

__all__ = ["RECIPES", "Monitor", "Optimizer", "PaperRecipe", "Precision", "Recipe", "Schedule"]

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "plateau", "steps", "constant"]
Monitor = Literal["loss", "accuracy", "f1+auroc"]
Precision = Literal["auto", "fp32", "bf16"]

_CHOICES = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "monitor": get_args(Monitor),
    "precision": get_args(Precision),
}
_LEAST: dict[str, float] = {
    "epochs": 1,
    "patience": 0,
    "least_epochs": 0,
    "weight_decay": 0,
    "momentum": 0,
    "warmup": 0,
    "clip": 0,
    "accumulate": 1,
    "max_bag": 1,
    "bag_tiles": 1,
    "bags_per_case": 1,
}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        optimizer: ``adamw``, ``adam`` or ``sgd`` (with momentum, Nesterov's where there is any).
        lr: learning rate after the warm-up.
        weight_decay: decoupled for ``adamw``, added to the gradient for the others.
        momentum: of ``sgd``.
        schedule: ``cosine`` to zero over all epochs, step by step; ``plateau`` divides by ten after
            `plateau_patience` epochs without a better validation loss; ``steps`` divides by ten at
            the `milestones`; ``constant``.
        milestones: epochs, counted from 0, that begin with a tenth of the rate.
        plateau_patience: epochs that ``plateau`` waits.
        warmup: epochs over which the rate grows from zero.
        slower: (prefix, factor) for parameters that learn at a fraction of the rate.
        epochs: passes over the training cases, at most.
        patience: epochs without a better validation before training ends; 0 never ends it.
        least_epochs: epochs before any of which neither ends the training nor is chosen.
        monitor: which validation figure chooses the epoch: the task's ``loss``, ``accuracy``, or
            ``f1+auroc`` (macro F1 plus macro AUROC).
        accumulate: bags per update; None takes what the loss needs.
        clip: largest norm of the gradient; 0 leaves it alone.
        precision: ``fp32``, or ``bf16`` through autocast; ``auto`` is bf16 on a GPU.
        max_bag: tiles drawn from a larger bag in every epoch of training; None takes all.
        bag_tiles: cut every case into random bags of this many tiles, in training anew in every
            epoch; evaluation averages them. None trains and evaluates on whole bags.
        bags_per_case: such bags per case and epoch of training, at most.

    Raises:
        InputError: a value that is not known or out of range.
    """

    optimizer: Optimizer = "adamw"
    lr: float = 2e-4
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    milestones: tuple[int, ...] = ()
    plateau_patience: int = 5
    warmup: float = 0.0
    slower: tuple[tuple[str, float], ...] = ()
    epochs: int = 50
    patience: int = 10
    least_epochs: int = 0
    monitor: Monitor = "loss"
    accumulate: int | None = None
    clip: float = 0.0
    precision: Precision = "auto"
    max_bag: int | None = None
    bag_tiles: int | None = None
    bags_per_case: int = 30

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{_flag(name)} {getattr(self, name)}: choose {', '.join(known)}")
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None and not value >= least:
                raise InputError(f"{_flag(name)} {value:g}: give {least:g} or more")
        if not self.lr > 0:
            raise InputError(f"--lr {self.lr:g}: give a positive rate, such as 2e-4")
        if self.max_bag and self.bag_tiles:
            raise InputError(
                f"--max-bag {self.max_bag}: the recipe cuts bags of {self.bag_tiles} tiles; "
                "leave one of them out"
            )

    def batch(self, least: int) -> int:
        """Bags per update, for a loss that needs at least so many.

        Raises:
            InputError: fewer were asked for.
        """
        if self.accumulate is not None and self.accumulate < least:
            raise InputError(
                f"--accumulate {self.accumulate}: the loss compares patients with each other; "
                f"give {least} or more, or use --loss nll"
            )
        return self.accumulate or least


@dataclass(frozen=True)
class PaperRecipe:
    """How a paper trained its model, as far as paper or released code say.

    Attributes:
        source: where it is from, and what we had to choose.
        recipe: the training.
        model: the paper's model, unless another is asked for.
        goal: what the paper fixes of how the target is learnt, unless it is given.
    """

    source: str
    recipe: Recipe
    model: str
    goal: Mapping[str, Any] = field(default_factory=dict)

    def adjusted(self, **given: Any) -> Recipe:
        """The recipe, in which what was given wins."""
        return replace(self.recipe, **given)


RECIPES: dict[str, PaperRecipe] = {
    "fluoroformer": PaperRecipe(
        source="arXiv:2411.08975 and its code: one bag per step, no class weights, a hazard per "
        "bin. Optimiser, rate and epochs are not in the release: ours.",
        recipe=Recipe(accumulate=1),
        model="fluoroformer",
        goal={"loss": "nll", "bins": 4, "censor_in_bin": "end"},
    ),
    "persam": PaperRecipe(
        source="J Pathol Inform 2023;14:100185 and its code: bags of 100 tiles drawn anew every "
        "epoch, at most 30 a slide, 8 per step. Ours: validation by the cross entropy alone, and "
        "all tiles in evaluation.",
        recipe=Recipe(
            optimizer="sgd",
            lr=2e-4,
            weight_decay=1e-4,
            momentum=0.9,
            schedule="steps",
            milestones=(3, 6),
            slower=(("tables.", 1 / 50),),
            epochs=9,
            patience=0,
            least_epochs=3,
            accumulate=8,
            bag_tiles=100,
            bags_per_case=30,
        ),
        model="persam",
    ),
    "asmil": PaperRecipe(
        source="arXiv:2603.06658 and its code: one bag per step, half a cosine to zero, the epoch "
        "of the best F1 + AUROC. Ours: macro F1, where the release takes micro.",
        recipe=Recipe(
            optimizer="adamw",
            lr=1e-4,
            weight_decay=1e-5,
            schedule="cosine",
            epochs=50,
            patience=0,
            monitor="f1+auroc",
            accumulate=1,
            clip=5.0,
        ),
        model="asmil",
    ),
    "roformer": PaperRecipe(
        source="arXiv:2310.01924 and its code: four bags per step, stopped on validation accuracy. "
        "Ours: bfloat16 on a GPU, where the release takes float16.",
        recipe=Recipe(
            optimizer="adam",
            lr=1e-4,
            weight_decay=1e-5,
            schedule="plateau",
            plateau_patience=5,
            epochs=50,
            patience=10,
            monitor="accuracy",
            accumulate=4,
        ),
        model="roformer",
    ),
    "clam": PaperRecipe(
        source="arXiv:2004.09666 and its code: one bag per step, classes balanced by sampling, "
        "stopped on validation loss after 20 epochs without gain, not before epoch 50.",
        recipe=Recipe(
            optimizer="adam",
            lr=1e-4,
            weight_decay=1e-5,
            schedule="constant",
            epochs=200,
            patience=20,
            least_epochs=50,
            accumulate=1,
        ),
        model="clam-sb",
        goal={"balance": "sampler"},
    ),
}
"""Recipe name -> what the paper did."""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
