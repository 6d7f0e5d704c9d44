"""Fluoroformer: attention among the markers of each tile, then gated attention over the tiles.

Harary, Van Allen, Lotter; ML4H 2024, arXiv:2411.08975. Departures: one head among the markers by
default, as in the released code (the paper: as many as channels; set `marker_heads`); several heads
split the fused projection and need no further weights, so that both share one state dict.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.composition import ComposedAttention
from wsi_tools.mil.fusion import require_markers
from wsi_tools.mil.layers import softmax
from wsi_tools.mil.options import require_choice, require_divisible

__all__ = ["ORIGINAL_KEYS", "Fluoroformer", "MarkerAttention", "TilePooling"]

ORIGINAL_KEYS = {
    r"marker_attention\.lin_down": "fusion.down",
    r"marker_attention\.sdpa\.qkv": "fusion.to_qkv",
    r"marker_attention\.lin_up": "fusion.up",
    r"marker_attention\.norm1": "fusion.inner_norm",
    r"marker_attention\.norm2": "fusion.outer_norm",
    r"patch_attention\.lin_uv": "aggregator.branches",
    r"patch_attention\.lin_w": "aggregator.weight",
    r"linear": "aggregator.classifier",
}


class MarkerAttention(nn.Module):
    """Fuses the markers of each tile: bottleneck, self-attention, skips, post-norm, mean.

    No marker is named, so the order of the markers does not matter and M may vary.

    Args:
        in_dim: feature width D.
        hidden_dim: width of the bottleneck.
        marker_heads: heads of the attention; the paper takes as many as there are markers.
    """

    def __init__(self, in_dim: int, *, hidden_dim: int = 256, marker_heads: int = 1) -> None:
        super().__init__()
        self.heads, self.out_dim = marker_heads, in_dim
        require_divisible("marker_heads", hidden_dim, marker_heads)
        self.down = nn.Linear(in_dim, hidden_dim)
        self.to_qkv = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.up = nn.Linear(hidden_dim, in_dim)
        self.inner_norm = nn.LayerNorm(hidden_dim)
        self.outer_norm = nn.LayerNorm(in_dim)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse ``(N, M, D)`` to ``(N, D)``; also the attention ``(N, M, M)``, mean over heads.

        Raises:
            InputError: the features have no marker axis.
        """
        reduced = functional.gelu(self.down(require_markers(features)))  # (N, M, hidden)
        mixed, attention = self._attend(reduced)
        restored = functional.gelu(self.up(self.inner_norm(mixed + reduced)))  # (N, M, D)
        return self.outer_norm(restored + features).mean(dim=1), attention

    def _attend(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        split = self.to_qkv(reduced).unflatten(2, (3, self.heads, -1))  # (N, M, 3, heads, d)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # (N, heads, M, d) each
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
        attention = softmax(scores)  # (N, heads, M, M)
        mixed = (attention @ values).transpose(1, 2).flatten(2)  # (N, M, hidden)
        return mixed, attention.mean(dim=1)


class TilePooling(AttentionMIL):
    """Gated attention that pools the tiles as they came, without a projection.

    Scores and attention are ``(1, N)``; the attention sums to one over the bag. Dropout acts on
    both branches before their activations.
    """

    card = CARDS["gated-abmil"]

    def __init__(
        self, in_dim: int, n_out: int, *, hidden_dim: int = 256, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.branches = nn.Linear(in_dim, 2 * hidden_dim)
        self.weight = nn.Linear(hidden_dim, 1)
        self.classifier = nn.Linear(in_dim, n_out)
        self.dropout = nn.Dropout(dropout)

    def score(self, bag: Bag) -> Scored:
        """Score the tiles as they came, ``(1, N)``."""
        gate, signal = self.dropout(self.branches(bag.tiles)).chunk(2, dim=1)  # (N, hidden) each
        return Scored(bag.tiles, self.weight(torch.tanh(signal) * torch.sigmoid(gate)).T)

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Classify the weighted mean of the tiles as they came."""
        pooled = attention @ scored.tiles  # (1, D)
        return MILOutput(self.classifier(pooled).squeeze(0), scored.scores, attention)


class Fluoroformer(ComposedAttention):
    """The published pair: marker attention, then tile attention, of one hidden width.

    ``stain="hne"`` is the paper's H&E variant, which has no marker axis and no marker attention.
    """

    card = CARDS["fluoroformer"]

    def __init__(
        self,
        in_dim: int,
        n_out: int,
        *,
        stain: Literal["mif", "hne"] = "mif",
        hidden_dim: int = 256,
        marker_heads: int = 1,
        dropout: float = 0.0,
    ) -> None:
        multiplexed = require_choice("stain", stain, ("mif", "hne")) == "mif"
        fusion = MarkerAttention(in_dim, hidden_dim=hidden_dim, marker_heads=marker_heads)
        pooling = TilePooling(in_dim, n_out, hidden_dim=hidden_dim, dropout=dropout)
        super().__init__(pooling, fusion=fusion if multiplexed else None)
