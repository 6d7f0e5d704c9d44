"""One fold: epochs over its training cases, watched on its validation cases.

Nothing here can name, read or load a test case: a `Part` is training or validation, and the bags
it reads are of its own cases.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from wsi_tools.cohort import Case
from wsi_tools.errors import InputError
from wsi_tools.execution import Report
from wsi_tools.mil import Bag, MILModel
from wsi_tools.prediction.answers import answer, seed_of
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.parts import random_order, tiles_of
from wsi_tools.prediction.reading import Reader
from wsi_tools.tasks import AnyTask, Classification, CoxSurvival
from wsi_tools.training.history import Epoch, History
from wsi_tools.training.monitoring import monitored
from wsi_tools.training.optimisation import make_optimizer, rate, set_rate
from wsi_tools.training.order import (
    Example,
    balanced_batches,
    event_batches,
    examples,
    shuffled_batches,
)
from wsi_tools.training.recipe import Recipe

__all__ = ["Learning", "Part", "fit", "torch_seed", "weights_of"]


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the validation cases of a fold.

    Attributes:
        cases: in a fixed order.
        targets: ``(n, ...)``, what the task's class says, in that order.
        reader: reads the bags of these cases.
        sizes: how many tiles each case has; looked at where a recipe cuts bags.
    """

    cases: tuple[Case, ...]
    targets: Tensor
    reader: Reader
    sizes: tuple[int, ...]


@dataclass
class Learning:
    """A model in training.

    Attributes:
        model: on the device.
        task: what its logits mean.
        recipe: how it is trained.
        computing: where.
        seed: of this fold; every random number of epoch k follows from the seed and k.
        history: the epochs so far.
        best: the weights of the epoch to keep.
        optimizer: over the model's parameters.
    """

    model: MILModel
    task: AnyTask
    recipe: Recipe
    computing: Computing
    seed: tuple[int, ...]
    history: History = field(default_factory=History)
    best: dict[str, Tensor] = field(default_factory=dict)
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.model, self.recipe)

    def epoch(self, train: Part, pulse: Callable[[int, int], None]) -> float:
        """One pass over the training cases; the mean loss of its updates."""
        number = len(self.history)
        torch.manual_seed(torch_seed((*self.seed, number)))
        self.model.train()
        batches = self._batches(train, number)
        bags = train.reader.bags(train.cases[each.case] for each in chain.from_iterable(batches))
        losses = []
        for step, batch in enumerate(batches):
            progress = number + (step + 0.5) / len(batches)
            set_rate(self.optimizer, rate(self.recipe, progress, self.history))
            losses += self._update(train, batch, bags)
            pulse(step, len(batches))
        return float(torch.stack(losses).mean()) if losses else float("nan")

    def logits(self, part: Part) -> Tensor:
        """What the model says of every case ``(n, width)``, on whole bags or the mean of parts."""
        self.model.eval()
        return torch.stack(
            [
                answer(
                    self.model,
                    bag,
                    self.task,
                    self.computing,
                    bag_tiles=self.recipe.bag_tiles,
                    seed=seed_of(case.case_id),
                ).logits
                for case, bag in zip(part.cases, part.reader.bags(part.cases), strict=True)
            ]
        )

    def _batches(self, train: Part, number: int) -> list[list[Example]]:
        """The bags of each update of an epoch."""
        seen = list(examples(train.sizes, self.recipe))
        known = train.targets[[each.case for each in seen]]
        size = self.recipe.batch(self.task.least_batch)
        rng = np.random.default_rng([*self.seed, number])
        if isinstance(self.task, CoxSurvival):
            batches = event_batches(known[:, 1], size, rng)
        elif isinstance(self.task, Classification) and self.task.balance == "sampler":
            batches = balanced_batches(known, size, rng)
        else:
            batches = shuffled_batches(len(seen), size, rng)
        return [[seen[place] for place in batch] for batch in batches]

    def _update(self, train: Part, batch: Sequence[Example], bags: Iterator[Bag]) -> list[Tensor]:
        """One step of the optimiser; where the loss lets, each bag is forgotten before the next."""
        together = len(batch) if self.task.least_batch > 1 else 1
        losses = []
        self.optimizer.zero_grad(set_to_none=True)
        for first in range(0, len(batch), together):
            group = batch[first : first + together]
            seen = [self._seen(next(bags), each) for each in group]
            targets = train.targets[[each.case for each in group]]
            if self.task.informs(targets):
                loss = self._loss(seen, targets.to(self.computing.place))
                (loss * len(group) / len(batch)).backward()  # type: ignore[no-untyped-call] # torch has no hint for it
                losses.append(loss.detach())
        if losses:
            self._step()
        return losses

    def _loss(self, bags: Sequence[Bag], targets: Tensor) -> Tensor:
        """The task's loss over these bags and each model's own losses, mean over the bags."""
        with self.computing.autocast():
            outputs = [
                self.model(bag, self.task.hint(target))
                for bag, target in zip(bags, targets, strict=True)
            ]
        logits = torch.stack([output.logits.float() for output in outputs])  # (n, width)
        loss = self.task.loss(logits, targets)
        return torch.stack([output.total(loss) for output in outputs]).mean()

    def _step(self) -> None:
        if self.recipe.clip:
            clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.model.after_step()

    def _seen(self, bag: Bag, example: Example) -> Bag:
        """The tiles that this epoch sees of a case, in the order of the bag."""
        limit = self.recipe.bag_tiles if example.part is not None else self.recipe.max_bag
        if limit is None or len(bag) <= limit:
            return self.computing.take(bag)
        order = random_order(len(bag), (*self.seed, len(self.history), example.case))
        first = (example.part or 0) * limit
        return self.computing.take(tiles_of(bag, order[first : first + limit].sort().values))


def fit(
    learning: Learning,
    train: Part,
    val: Part | None,
    *,
    keep: Callable[[Learning], None],
    report: Report,
) -> None:
    """Train until the recipe says that it is over; go on after the epochs that are done.

    Args:
        learning: a fresh model, or one whose state was loaded.
        train: what it learns from.
        val: what chooses the epoch; None keeps the last.
        keep: called after every epoch, to save the state.
        report: told of progress.

    Raises:
        InputError: the loss is no longer finite.
    """
    recipe, total = learning.recipe, learning.recipe.epochs
    while not learning.history.is_over(recipe):
        number = len(learning.history)

        def pulse(step: int, steps: int, number: int = number) -> None:
            report(f"epoch {number + 1}", step, steps)

        train_loss = learning.epoch(train, pulse)
        if not isfinite(train_loss):
            raise InputError(
                f"epoch {number + 1}: the loss is {train_loss}; lower --lr, or add --clip 5"
            )
        report("epochs", number + 1, total)
        learning.history = learning.history.adding(_epoch(learning, number, train_loss, val))
        if learning.history.best(recipe) == number:
            learning.best = weights_of(learning.model)
        keep(learning)


def weights_of(model: MILModel) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _epoch(learning: Learning, number: int, train_loss: float, val: Part | None) -> Epoch:
    lr = learning.optimizer.param_groups[0]["lr"] / learning.optimizer.param_groups[0]["share"]
    if val is None:
        return Epoch(number, lr, train_loss)
    logits = learning.logits(val)
    loss = float(learning.task.loss(logits, val.targets))
    figure = monitored(learning.recipe.monitor, logits, val.targets, loss)
    return Epoch(number, lr, train_loss, loss, figure)


def torch_seed(seed: Sequence[int]) -> int:
    """One number for torch's generators from several."""
    return int(np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0])
