"""Classes: one of several (cross entropy), or several at once (binary cross entropy)."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict
from torch import Tensor
from torch.nn import functional

from wsi_tools.errors import DataError, InputError
from wsi_tools.tasks.task import Task, row

__all__ = ["Balance", "Classification", "Multilabel"]

Balance = Literal["none", "loss", "sampler"]


@dataclass(frozen=True)
class Classification(Task):
    """One class per bag; a target is its index, ``(n,)`` int64.

    Balanced training, by the loss or by the sampler, teaches the model a world in which classes are
    equally frequent. The log of the weights is the shift between the two priors, and reading takes
    it off: probabilities are those of the training patients' world (Saerens et al., Neural
    Computation 2002, eq. 2.4).

    Attributes:
        classes: names in the order of the logits.
        ordered: the names ascend (grades, stages).
        balance: how training patients were balanced.
        weights: per class, mean 1 over training patients; empty where nothing is balanced.

    Raises:
        InputError: fewer than two classes, a name twice, or weights that do not fit.
    """

    classes: tuple[str, ...]
    ordered: bool = False
    balance: Balance = "none"
    weights: tuple[float, ...] = ()
    kind: Literal["classification"] = "classification"
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        _check_names(self.classes, least=2)
        _check_weights(self.weights, len(self.classes) if self.balance != "none" else 0)

    @classmethod
    def of_training(
        cls,
        classes: tuple[str, ...],
        labels: ArrayLike,
        *,
        balance: Balance = "none",
        ordered: bool = False,
    ) -> Self:
        """Weigh the classes by the training patients.

        Args:
            classes: names in the order of the logits.
            labels: ``(patients,)`` class indices, one per training patient.
            balance: where the weights are applied.
            ordered: the names ascend.

        Raises:
            DataError: balance is asked for and a class has no training patient.
        """
        if balance == "none":
            return cls(classes, ordered)
        counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=len(classes))
        _check_present(classes, counts)
        weights = counts.sum() / (len(classes) * counts)
        return cls(classes, ordered, balance, tuple(weights.tolist()))

    @property
    def width(self) -> int:
        """One logit per class."""
        return len(self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """One probability per class."""
        return tuple(f"prob_{name}" for name in self.classes)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy, each bag by the weight of its class."""
        each = functional.cross_entropy(logits, target, reduction="none")  # (n,)
        if self.balance == "loss":  # not torch's weight=, whose mean cancels it in a batch of one
            each = each * each.new_tensor(self.weights)[target]
        return each.mean()

    def read(self, logits: Tensor) -> dict[str, float]:
        """Probabilities among the training patients' class frequencies."""
        logits = logits.detach().double()
        if self.weights:
            logits = logits - logits.new_tensor(self.weights).log()
        return row(self.columns, logits.softmax(dim=-1))

    def hint(self, target: Tensor) -> Tensor:
        """The class index."""
        return target


@dataclass(frozen=True)
class Multilabel(Task):
    """Any number of labels per bag; a target is multi-hot, ``(n, labels)`` float.

    Attributes:
        labels: names in the order of the logits.
        weights: per label, of its positive bags (negatives over positives among the training
            patients); empty where nothing is balanced. Reading takes their log off again.

    Raises:
        InputError: no label, a name twice, or weights that do not fit.
    """

    labels: tuple[str, ...]
    weights: tuple[float, ...] = ()
    kind: Literal["multilabel"] = "multilabel"
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        _check_names(self.labels, least=1)
        _check_weights(self.weights, len(self.labels) if self.weights else 0)

    @classmethod
    def of_training(
        cls, labels: tuple[str, ...], truth: ArrayLike, *, balance: Balance = "none"
    ) -> Self:
        """Weigh the positives by the training patients.

        Args:
            labels: names in the order of the logits.
            truth: ``(patients, labels)`` multi-hot, one row per training patient.
            balance: ``none`` or ``loss``.

        Raises:
            InputError: a sampler cannot balance several labels at once.
            DataError: balance is asked for and a label is on all or on no training patients.
        """
        if balance == "none":
            return cls(labels)
        if balance == "sampler":
            raise InputError(
                "multilabel: no sampler balances several labels; use --balance loss or none"
            )
        positive = np.asarray(truth, dtype=np.float64).sum(axis=0)
        negative = len(np.asarray(truth)) - positive
        _check_present(labels, np.minimum(positive, negative))
        return cls(labels, tuple((negative / positive).tolist()))

    @property
    def width(self) -> int:
        """One logit per label."""
        return len(self.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """One probability per label."""
        return tuple(f"prob_{name}" for name in self.labels)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Binary cross entropy, mean over bags and labels."""
        weights = logits.new_tensor(self.weights) if self.weights else None
        return functional.binary_cross_entropy_with_logits(
            logits, target.to(logits.dtype), pos_weight=weights
        )

    def read(self, logits: Tensor) -> dict[str, float]:
        """Probabilities among the training patients' label frequencies."""
        logits = logits.detach().double()
        if self.weights:
            logits = logits - logits.new_tensor(self.weights).log()
        return row(self.columns, torch.sigmoid(logits))

    def hint(self, target: Tensor) -> Tensor:
        """The multi-hot vector."""
        return target


def _check_names(names: tuple[str, ...], *, least: int) -> None:
    if len(names) < least or len(set(names)) < len(names):
        raise InputError(f"classes {', '.join(names)}: at least {least} are needed, each once")


def _check_weights(weights: tuple[float, ...], expected: int) -> None:
    if len(weights) != expected or not all(0 < each < np.inf for each in weights):
        raise InputError(f"class weights {weights}: {expected} positive numbers are needed")


def _check_present(names: tuple[str, ...], counts: NDArray[np.int64 | np.float64]) -> None:
    for name, count in zip(names, counts, strict=True):
        if count == 0:
            raise DataError(
                f"class {name!r}: the training fold has none to weigh it by; use --balance none"
            )
