"""What every model takes and gives: one bag in, logits, attention and auxiliary losses out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.errors import InputError
from wsi_tools.mil.cards import Card
from wsi_tools.mil.layers import softmax

__all__ = ["AttentionMIL", "Bag", "MILModel", "MILOutput", "Scored", "target_loss"]


@dataclass(frozen=True, eq=False)
class Bag:
    """The tiles of one case: one slide, or all slides of one patient.

    Attributes:
        features: ``(N, D)`` float, or ``(N, M, D)`` where a slide has M markers.
        coords: ``(N, 2)`` level-0 pixels (x, y) of the tiles' top-left corners.
        lattice: ``(N, 2)`` integer (column, row) on the tile grid.
        segment: ``(N,)`` integer, which slide each tile came from.
        clinical: one ``(columns,)`` float vector per clinical table.

    Raises:
        InputError: the bag is empty, or its tensors disagree in length.
    """

    features: Tensor
    coords: Tensor
    lattice: Tensor
    segment: Tensor
    clinical: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        if self.features.ndim not in (2, 3) or not len(self):
            raise InputError(f"a bag of shape {tuple(self.features.shape)}; (N, D) or (N, M, D)")
        expected = {"coords": (len(self), 2), "lattice": (len(self), 2), "segment": (len(self),)}
        for name, shape in expected.items():
            if (found := tuple(getattr(self, name).shape)) != shape:
                raise InputError(
                    f"a bag's {name} has shape {found}; {len(self)} tiles need {shape}"
                )

    def __len__(self) -> int:
        return self.features.shape[0]

    @classmethod
    def of_slide(
        cls, features: Tensor, lattice: Tensor | None = None, clinical: tuple[Tensor, ...] = ()
    ) -> Self:
        """One slide's bag; coordinates are the lattice, which is a single row if not given."""
        steps = torch.arange(features.shape[0], device=features.device)
        lattice = torch.stack((steps, steps * 0), dim=1) if lattice is None else lattice  # (N, 2)
        return cls(features, lattice, lattice, steps * 0, clinical)

    @property
    def tiles(self) -> Tensor:
        """``(N, D)`` features of a bag without a marker axis.

        Raises:
            InputError: the bag has a marker axis that nothing has fused.
        """
        if self.features.ndim == 3:
            raise InputError(
                f"the tiles have {self.features.shape[1]} markers each and this model reads one "
                "vector per tile; fuse them with --channel-fusion fluoroformer, mean or concat"
            )
        return self.features

    def with_features(self, features: Tensor) -> Self:
        """The same tiles, described anew by ``(N, D')`` features."""
        return replace(self, features=features)

    def slides(self) -> Iterator[Tensor]:
        """The row numbers of each slide's tiles, one ``(n,)`` tensor per slide."""
        for slide in torch.unique(self.segment):
            yield (self.segment == slide).nonzero().squeeze(1)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """The bag on another device; `dtype` concerns features and clinical vectors only."""
        return replace(
            self,
            features=self.features.to(device=device, dtype=dtype),
            coords=self.coords.to(device=device),
            lattice=self.lattice.to(device=device),
            segment=self.segment.to(device=device),
            clinical=tuple(table.to(device=device, dtype=dtype) for table in self.clinical),
        )


@dataclass(frozen=True, eq=False)
class MILOutput:
    """One bag's answer.

    Attributes:
        logits: ``(n_out,)``; what they mean is the task's business.
        scores: raw scores ``(..., N)`` before any normalisation over the tiles.
        attention: display attention ``(rows, N)``, non-negative; the model's card says what the
            rows are and whether each sums to one.
        auxiliary: further losses by name, already weighted; empty without a target.
        task_weight: weight of the task's loss on `logits` beside the auxiliary ones.
        marker_attention: ``(N, M, M)`` among the markers of each tile; a row is a query and sums
            to one.
        views: other attentions a model offers, by name: ``(rows, N)`` over the tiles, or a vector
            ``(k,)`` of something else.
    """

    logits: Tensor
    scores: Tensor
    attention: Tensor
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    task_weight: float = 1.0
    marker_attention: Tensor | None = None
    views: Mapping[str, Tensor] = field(default_factory=dict)

    def total(self, task_loss: Tensor) -> Tensor:
        """The loss to minimise: the weighted task loss and every auxiliary one."""
        return sum(self.auxiliary.values(), start=self.task_weight * task_loss)

    def adding(self, name: str, loss: Tensor) -> Self:
        """The same answer with one more auxiliary loss."""
        return replace(self, auxiliary={**self.auxiliary, name: loss})


class MILModel(nn.Module, ABC):
    """A model of one bag: no padding, no masks; a batch is a loop.

    Every constructor takes the feature width and the number of outputs, then keywords that are
    the model's whole configuration. Weights are drawn from torch's global generator.
    """

    card: Card

    @property
    def takes_markers(self) -> bool:
        """Whether the model reads ``(N, M, D)`` features."""
        return False

    @abstractmethod
    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Read one bag; a target asks for the auxiliary losses that need one.

        Args:
            bag: the tiles.
            target: a class index ``()`` int64, or a multi-hot vector ``(n_out,)`` float; None for
                tasks of another kind and for prediction.
        """

    def after_step(self) -> None:
        """Follow the optimiser's step; the training loop calls it once after each."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What the first half of an attention model hands to the second.

    Attributes:
        tiles: what is pooled, ``(N, H)``.
        scores: ``(..., N)``, to be normalised over the last axis.
        context: what else the second half needs, by name.
    """

    tiles: Tensor
    scores: Tensor
    context: Mapping[str, Tensor] = field(default_factory=dict)


class AttentionMIL(MILModel):
    """A model that scores tiles, normalises over them, and pools: the stabiliser can wrap it."""

    @abstractmethod
    def score(self, bag: Bag) -> Scored:
        """Give every tile its scores."""

    @abstractmethod
    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Pool by `attention`, of the shape of the scores, and answer."""

    def normalise(self, scores: Tensor) -> Tensor:
        """Turn scores ``(..., N)`` into weights over the tiles, in float32 or better."""
        return softmax(scores)

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Score, normalise, read out."""
        scored = self.score(bag)
        return self.read_out(scored, self.normalise(scored.scores), target)


def target_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy ``()`` of ``(n_out,)`` logits; a float target is multi-hot and independent."""
    if target.is_floating_point():
        return functional.binary_cross_entropy_with_logits(
            logits, target.to(logits.dtype).view_as(logits)
        )
    return functional.cross_entropy(logits, target.reshape(()))
