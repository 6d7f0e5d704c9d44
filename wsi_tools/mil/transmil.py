"""TransMIL: two Nyström attention layers around a convolution on the squared tile sequence.

Shao et al.; NeurIPS 2021, arXiv:2106.00908. Departures: each slide of a patient is encoded by
itself, and the class tokens are averaged before the classifier (the paper knows single slides); an
attention for display, which the paper leaves to the reader.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.bag import Bag, MILModel, MILOutput
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import projection
from wsi_tools.mil.nystrom import NystromAttention

__all__ = ["ORIGINAL_KEYS", "PositionEncoding", "TransMIL"]

ORIGINAL_KEYS = {
    r"_fc1\.0": "project.0",
    r"cls_token": "class_token",
    r"pos_layer\.proj": "position.convolutions.0",
    r"pos_layer\.proj1": "position.convolutions.1",
    r"pos_layer\.proj2": "position.convolutions.2",
    **{
        rf"layer(\d)\.{released}": rf"layer\1.{ours}"
        for released, ours in {
            r"norm": "norm",
            r"attn\.to_qkv": "attention.to_qkv",
            r"attn\.to_out\.0": "attention.merge",
            r"attn\.res_conv": "attention.residual",
        }.items()
    },
    r"norm": "norm",
    r"_fc2": "classifier",
}


class _Layer(nn.Module):
    """Pre-norm Nyström attention with a skip."""

    def __init__(
        self, dim: int, heads: int, landmarks: int, iterations: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = NystromAttention(
            dim, heads=heads, landmarks=landmarks, iterations=iterations, dropout=dropout
        )

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        mixed, row = self.attention(self.norm(tokens))
        return tokens + mixed, row


class PositionEncoding(nn.Module):
    """Depthwise convolutions of sizes 7, 5 and 3 over the tiles laid out as a square (PPEG)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(dim, dim, size, padding=size // 2, groups=dim) for size in (7, 5, 3)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode ``(1 + side², dim)`` tokens, of which the first, the class token, stays."""
        side = math.isqrt(len(tokens) - 1)
        square = torch.unflatten(tokens[1:].T, 1, (side, side))  # (dim, side, side)
        encoded = square + sum(convolve(square) for convolve in self.convolutions)
        return torch.cat((tokens[:1], encoded.flatten(1).T))


class TransMIL(MILModel):
    """Transformer-based correlated MIL; it reads the tiles in the order of the bag.

    Scores are the class token's row of the second layer's attention, ``(1, N)``, mean over heads
    and signed as Nyström's approximation is; tiles repeated to fill the square get their copies'
    share. The display attention is the row with its negative entries at zero, divided by its sum.

    Args:
        in_dim: feature width.
        n_out: number of logits.
        dim: token width.
        heads: attention heads.
        landmarks: None takes half the width, as published.
        iterations: of the pseudo-inverse.
        dropout: after each attention's output layer.
    """

    card = CARDS["transmil"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        dim: int = 512,
        heads: int = 8,
        landmarks: int | None = None,
        iterations: int = 6,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        marks = landmarks or dim // 2
        self.project = projection(in_dim, dim)
        self.class_token = nn.Parameter(torch.randn(1, dim))
        self.layer1, self.layer2 = (
            _Layer(dim, heads, marks, iterations, dropout) for _ in range(2)
        )
        self.position = PositionEncoding(dim)
        self.norm = nn.LayerNorm(dim)
        self.classifier = nn.Linear(dim, n_out)

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Encode each slide, then classify the mean of their class tokens."""
        exact = torch.promote_types(bag.tiles.dtype, torch.float32)
        scores = bag.tiles.new_zeros(1, len(bag), dtype=exact)
        tokens = []
        for rows in bag.slides():
            token, row = self.encode(bag.tiles[rows])
            tokens.append(token)
            scores[0, rows] = row.to(scores)
        logits = self.classifier(torch.stack(tokens).mean(dim=0))
        positive = scores.clamp(min=0)
        tiny = torch.finfo(positive.dtype).tiny
        return MILOutput(logits, scores, positive / positive.sum().clamp(min=tiny))

    def encode(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """A slide's class token ``(dim,)`` and that token's attention ``(N,)`` to the tiles."""
        projected = self.project(tiles)  # (N, dim)
        copies = (math.isqrt(len(tiles) - 1) + 1) ** 2 - len(tiles)
        tokens = torch.cat((self.class_token, projected, projected[:copies]))  # (1 + side², dim)
        tokens, _ = self.layer1(tokens)
        tokens, rows = self.layer2(self.position(tokens))
        to_tiles, to_copies = rows.mean(dim=0)[1:].tensor_split((len(tiles),))
        return self.norm(tokens)[0], to_tiles + functional.pad(to_copies, (0, len(tiles) - copies))
