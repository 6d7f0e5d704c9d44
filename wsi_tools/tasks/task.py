"""What a task is: how wide the logits are, what they cost against the truth, how they are read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor

__all__ = ["Task"]


class Task(ABC):
    """The meaning of a model's logits; a frozen value that the checkpoint keeps as JSON.

    A model knows its width and nothing else of it. Targets are stacked over bags, so that a loss
    may compare patients with each other.
    """

    least_batch: ClassVar[int] = 1
    """Bags whose logits one loss needs; a batch is a loop over bags."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of logits per bag."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers that `read` gives, in its order."""

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss ``()`` of bags.

        Args:
            logits: ``(n, width)``.
            target: ``(n, ...)``, of the dtype and shape that the task's class states.
        """

    @abstractmethod
    def read(self, logits: Tensor) -> dict[str, float]:
        """One bag's ``(width,)`` logits as a row of the predictions, by column."""

    def hint(self, target: Tensor) -> Tensor | None:
        """What a model with auxiliary losses is told of one bag's target ``(...)``."""
        return None

    def informs(self, target: Tensor) -> bool:
        """Whether a loss over these ``(n, ...)`` targets says anything."""
        return len(target) > 0

    def settled(self, logits: Tensor, target: Tensor) -> Self:
        """The task with what the trained model's logits on the training fold fix for ever.

        Args:
            logits: ``(n, width)`` of the training fold.
            target: ``(n, ...)``.
        """
        return self


def row(columns: Sequence[str], values: Tensor) -> dict[str, float]:
    """Numbers ``(k,)`` by column."""
    return dict(zip(columns, values.tolist(), strict=True))
