"""A number per bag, by squared error."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import ConfigDict
from torch import Tensor
from torch.nn import functional

from wsi_tools.errors import InputError
from wsi_tools.tasks.task import Task, row

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression(Task):
    """One number per bag; a target is ``(n,)`` float in the user's unit.

    The model answers in standard deviations of the training patients.

    Attributes:
        mean: of the training patients, in the user's unit.
        scale: their standard deviation, in the user's unit.

    Raises:
        InputError: the scale is not positive.
    """

    mean: float = 0.0
    scale: float = 1.0
    kind: Literal["regression"] = "regression"
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if not 0 < self.scale < np.inf:
            raise InputError(f"regression: a scale of {self.scale}; the training values must vary")

    @classmethod
    def of_training(cls, values: ArrayLike) -> Self:
        """Centre and scale by ``(patients,)`` training values."""
        known = np.asarray(values, dtype=np.float64)
        return cls(float(known.mean()), float(known.std()))

    @property
    def width(self) -> int:
        """One number."""
        return 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The number in the user's unit."""
        return ("value",)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Squared error in units of the training variance."""
        standard = (target.to(logits.dtype) - self.mean) / self.scale
        return functional.mse_loss(logits[:, 0], standard)

    def read(self, logits: Tensor) -> dict[str, float]:
        """The number in the user's unit."""
        return row(self.columns, logits.detach().double() * self.scale + self.mean)
