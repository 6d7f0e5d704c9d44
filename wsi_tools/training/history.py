"""What happened epoch by epoch; when to stop, and which epoch to keep, follow from it alone."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

from wsi_tools.training.recipe import Recipe

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training cases.

    Attributes:
        number: from 0.
        lr: learning rate of its last step.
        train_loss: mean over its updates, auxiliary losses included.
        val_loss: the task's loss on the validation cases; None without any.
        monitored: the figure that chooses the epoch, lower is better; None without validation.
    """

    number: int
    lr: float
    train_loss: float
    val_loss: float | None = None
    monitored: float | None = None


@dataclass(frozen=True)
class History:
    """The epochs so far; every decision follows from them, so that a resumed run decides alike."""

    epochs: tuple[Epoch, ...] = ()

    def __len__(self) -> int:
        return len(self.epochs)

    def adding(self, epoch: Epoch) -> "History":
        """One epoch more."""
        return History((*self.epochs, epoch))

    def best(self, recipe: Recipe) -> int | None:
        """The epoch to keep: the first with the lowest figure; the last where there is none.

        An epoch before `least_epochs` is kept only until a later one is there.
        """
        eligible = [each for each in self.epochs if each.number >= recipe.least_epochs]
        candidates = eligible or self.epochs[-1:]
        if not candidates or candidates[-1].monitored is None:
            return len(self) - 1 if self.epochs else None
        return min(candidates, key=_order).number  # the first of equals

    def is_over(self, recipe: Recipe) -> bool:
        """Whether all epochs are done, or `patience` epochs have passed since the best."""
        best = self.best(recipe)
        if len(self) >= recipe.epochs:
            return True
        if best is None or not recipe.patience or len(self) < recipe.least_epochs:
            return False
        return self.epochs[-1].number - best >= recipe.patience

    def plateaus(self, patience: int) -> int:
        """How often the validation loss has failed to improve for more than `patience` epochs."""
        lowest, waited, found = float("inf"), 0, 0
        for each in self.epochs:
            loss = each.val_loss if each.val_loss is not None else each.train_loss
            waited = 0 if loss < lowest else waited + 1
            lowest = min(lowest, loss)
            if waited > patience:
                waited, found = 0, found + 1
        return found

    def csv(self) -> str:
        """The table, numbers as they read back."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(each) for each in self.epochs)
        return text.getvalue()

    def as_json(self) -> list[dict[str, Any]]:
        """Plain data for a resume file."""
        return [asdict(each) for each in self.epochs]

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, Any]]) -> "History":
        """The history that `as_json` gave."""
        return cls(tuple(Epoch(**row) for row in rows))


_COLUMNS = [field.name for field in fields(Epoch)]


def _order(epoch: Epoch) -> float:
    """What is compared; a figure that is not finite is worse than any."""
    figure = epoch.monitored
    return figure if figure is not None and isfinite(figure) else float("inf")
