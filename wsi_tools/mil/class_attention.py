"""Class attention, the head that RoFormerMIL was released with (MLMI 2023, arXiv:2310.01924).

The paper calls it ABMIL; the released head lets learned class tokens attend to the tiles with
several heads. Tokens serve as queries without a projection, and attention has no dropout.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import BranchClassifiers, projection
from wsi_tools.mil.options import require_choice, require_divisible

__all__ = ["ORIGINAL_KEYS", "ClassAttentionMIL"]

ORIGINAL_KEYS = {
    r"input_projection\.0": "project.0",
    r"attention_net\.class_tokens": "tokens",
    r"attention_net\.keys_projection": "keys",
    r"attention_net\.values_projection": "values",
    r"attention_net\.output_projection": "merge",
    r"bag_classifiers\.(\d+)": r"classifier.branches.\1",
    r"bag_classifiers": "classifier",
}


class ClassAttentionMIL(AttentionMIL):
    """One token per class (``multi``) or one for all (``single``) attends to the tiles.

    Scores are ``(tokens, heads, N)``; the display attention is their softmax over the tiles,
    averaged over the heads: ``(tokens, N)``, every row summing to one.

    Args:
        in_dim: feature width.
        n_out: number of logits.
        branches: ``multi`` or ``single``.
        hidden_dim: width of the projected tiles.
        attention_dim: width of tokens, keys and values.
        heads: attention heads.
        dropout: after the projection.
    """

    card = CARDS["class-attention"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        branches: Literal["multi", "single"] = "multi",
        hidden_dim: int = 512,
        attention_dim: int = 256,
        heads: int = 8,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        multi = require_choice("branches", branches, ("multi", "single")) == "multi"
        self.heads, self.head_dim = heads, require_divisible("heads", attention_dim, heads)
        self.project = projection(in_dim, hidden_dim, dropout=dropout)
        self.tokens = nn.Parameter(_xavier_tokens(n_out if multi else 1, attention_dim))
        self.keys = nn.Linear(hidden_dim, attention_dim)
        self.values = nn.Linear(hidden_dim, attention_dim)
        self.merge = nn.Linear(attention_dim, hidden_dim)
        self.classifier = (
            BranchClassifiers(hidden_dim, n_out) if multi else nn.Linear(hidden_dim, n_out)
        )

    def score(self, bag: Bag) -> Scored:
        """Compare the projected tiles with the tokens, ``(tokens, heads, N)``."""
        tiles = self.project(bag.tiles)  # (N, hidden)
        queries = torch.unflatten(self.tokens, 1, (self.heads, -1))  # (tokens, heads, d)
        keys = self.keys(tiles).unflatten(1, (self.heads, -1))  # (N, heads, d)
        scores = torch.einsum("chd,nhd->chn", queries, keys) / math.sqrt(self.head_dim)
        return Scored(tiles, scores)

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Pool the values by token and head, merge the heads, classify."""
        values = self.values(scored.tiles).unflatten(1, (self.heads, -1))
        heads = torch.einsum("chn,nhd->chd", attention, values)
        pooled = self.merge(heads.flatten(1))  # (tokens, hidden)
        return MILOutput(self.classifier(pooled).flatten(), scored.scores, attention.mean(dim=1))


def _xavier_tokens(tokens: int, dim: int) -> Tensor:
    return torch.randn(tokens, dim) * math.sqrt(2 / (dim * (tokens + 1)))
