"""The two poolings every paper compares with: the mean tile and the highest-scoring tile."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.bag import Bag, MILModel, MILOutput
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import softmax

__all__ = ["MaxMIL", "MeanMIL"]


class MeanMIL(MILModel):
    """A linear layer on the mean tile.

    Scores are zero and the attention is 1/N, both ``(1, N)``.
    """

    card = CARDS["mean"]

    def __init__(self, in_dim: int, n_out: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_dim, n_out)

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Average, then read out."""
        scores = bag.tiles.new_zeros(1, len(bag))
        return MILOutput(self.classifier(bag.tiles.mean(dim=0)), scores, softmax(scores))


class MaxMIL(MILModel):
    """A linear layer on every tile, of whose answers the largest per output counts.

    Scores are the tiles' logits ``(n_out, N)``; the attention is one at each row's maximum.
    """

    card = CARDS["max"]

    def __init__(self, in_dim: int, n_out: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_dim, n_out)

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Read every tile out, then keep the largest logits."""
        scores: Tensor = self.classifier(bag.tiles).T  # (n_out, N)
        logits, winners = scores.max(dim=-1)
        return MILOutput(logits, scores, functional.one_hot(winners, len(bag)).to(torch.float32))
