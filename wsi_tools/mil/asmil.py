"""ASMIL: learned tokens attend to the tiles, a second attention pools the tokens.

Ye et al.; ICLR 2026, arXiv:2603.06658. Departures: the anchor is the paper's
(a copy that follows by exponential moving average); the released code's frozen random one is
``anchor="frozen", start="random", reduction="mean_all", beta=1``. Per-token classifiers exist in
the release and never train there: here they are frozen unless `branch_weight` is set.
"""

import math
from collections.abc import Iterable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored, target_loss
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import projection, softmax
from wsi_tools.mil.options import require_choice, require_divisible
from wsi_tools.mil.stabilizer import Stabilized

__all__ = ["ASMIL", "ORIGINAL_KEYS", "CrossAttention", "TokenMIL"]

ORIGINAL_KEYS = {
    r"dimreduction\.bn": None,  # in the released state dict, in no computation
    r"dimreduction\.fc1": "project.0",
    r"q": "tokens",
    r"cls": "bag_token",
    **{
        rf"{module}\.{released}": rf"{ours}.{part}"
        for module, ours in ((r"sub_attention\.(\d+)", r"readers.\1"), ("bag_attention", "pool"))
        for released, part in {
            "q_proj": "queries",
            "k_proj": "keys",
            "v_proj": "values",
            "out_proj": "merge",
            "layer_norm": "norm",
        }.items()
    },
    r"classifier\.(\d+)\.fc": r"token_classifiers.\1",
    r"Slide_classifier\.fc": "classifier",
}


class CrossAttention(nn.Module):
    """One query attends to tiles with several heads; no residual, post-norm."""

    def __init__(self, dim: int, heads: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads, self.scale = heads, math.sqrt(require_divisible("heads", dim, heads))
        self.queries, self.keys, self.values = (nn.Linear(dim, dim) for _ in range(3))
        self.merge = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim, eps=1e-6)  # the released value

    def score(self, query: Tensor, tiles: Tensor) -> Tensor:
        """Scaled scores ``(heads, N)`` of a ``(dim,)`` query."""
        queries = self.queries(query).unflatten(0, (self.heads, -1))  # (heads, d)
        keys = self.keys(tiles).unflatten(1, (self.heads, -1))  # (N, heads, d)
        return torch.einsum("hd,nhd->hn", queries, keys) / self.scale

    def pool(self, attention: Tensor, tiles: Tensor) -> Tensor:
        """Tiles pooled by ``(heads, N)`` weights, ``(dim,)``."""
        values = self.values(tiles).unflatten(1, (self.heads, -1))  # (N, heads, d)
        merged = self.merge(torch.einsum("hn,nhd->hd", attention, values).flatten())
        pooled: Tensor = self.norm(self.dropout(merged))
        return pooled

    def forward(self, query: Tensor, tiles: Tensor) -> Tensor:
        """Tiles ``(N, dim)`` pooled for a ``(dim,)`` query, ``(dim,)``."""
        return self.pool(softmax(self.score(query, tiles)), tiles)


class TokenMIL(AttentionMIL):
    """ASMIL's network without its anchor.

    Scores are ``(heads, tokens, N)``; the display attention is their softmax over the tiles,
    averaged over the heads: ``(tokens, N)``, every row summing to one.

    Args:
        in_dim: feature width.
        n_out: number of logits.
        tokens: learned queries.
        dim: width of tiles and tokens; the authors take 128 to 512, a third to a half of `in_dim`.
        heads: of every cross attention.
        dropout: after every cross attention's output layer.
        drop_ratio: part of the tokens left out of the bag's reading in training.
        token_drop: each token by a coin (``bernoulli``, the paper) or a fixed ``count`` (released).
        branch_weight: weight of the loss on each token's own logits; 0 freezes their classifiers.
    """

    card = CARDS["asmil"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        tokens: int = 8,
        dim: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
        drop_ratio: float = 0.5,
        token_drop: Literal["bernoulli", "count"] = "bernoulli",
        branch_weight: float = 0.0,
    ) -> None:
        super().__init__()
        kinds = ("bernoulli", "count")
        self.drop_by_count = require_choice("token_drop", token_drop, kinds) == "count"
        self.drop_ratio, self.branch_weight = drop_ratio, branch_weight
        self.project = projection(in_dim, dim, bias=False)
        self.tokens = nn.Parameter(torch.randn(tokens, dim) * 1e-6)
        self.bag_token = nn.Parameter(torch.zeros(dim))
        self.readers = nn.ModuleList(
            CrossAttention(dim, heads, dropout=dropout) for _ in range(tokens)
        )
        self.pool = CrossAttention(dim, heads, dropout=dropout)
        self.token_classifiers = nn.ModuleList(nn.Linear(dim, n_out) for _ in range(tokens))
        self.token_classifiers.requires_grad_(branch_weight > 0)
        self.classifier = nn.Linear(dim, n_out)

    def score(self, bag: Bag) -> Scored:
        """Let every token score the projected tiles, ``(heads, tokens, N)``."""
        tiles = self.project(bag.tiles)  # (N, dim)
        rows = [
            reader.score(token, tiles)
            for reader, token in zip(self._cross(), self.tokens, strict=True)
        ]
        return Scored(tiles, torch.stack(rows, dim=1))

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Pool the tiles by token, drop tokens in training, then pool the tokens."""
        rows = zip(self._cross(), attention.unbind(dim=1), strict=True)
        found = torch.stack(
            [reader.pool(row, scored.tiles) for reader, row in rows]
        )  # (tokens, dim)
        logits = self.classify(found[self.kept(len(found))])
        output = MILOutput(logits, scored.scores, attention.mean(dim=0))
        if target is None or not self.branch_weight:
            return output
        losses = [target_loss(row, target) for row in self.token_logits(found)]
        return output.adding("branch", self.branch_weight * torch.stack(losses).mean())

    def _cross(self) -> Iterable[CrossAttention]:
        return cast("Iterable[CrossAttention]", self.readers)

    def classify(self, found: Tensor) -> Tensor:
        """Logits ``(n_out,)`` from the ``(kept, dim)`` findings of the tokens that were kept."""
        logits: Tensor = self.classifier(self.pool(self.bag_token, found))
        return logits

    def token_logits(self, found: Tensor) -> Tensor:
        """Each token's own logits ``(tokens, n_out)``."""
        reads = zip(self.token_classifiers, found, strict=True)
        return torch.stack([read(row) for read, row in reads])

    def kept(self, tokens: int) -> Tensor:
        """Which tokens are read: all in evaluation, a random part, never none, in training."""
        if not self.training or not self.drop_ratio:
            return torch.arange(tokens)
        order = torch.randperm(tokens)
        dropped = round(self.drop_ratio * tokens)
        if not self.drop_by_count:
            dropped = int((torch.rand(tokens) < self.drop_ratio).sum())
        return order[min(dropped, tokens - 1) :]


class ASMIL(Stabilized):
    """The published model: `TokenMIL` steadied by its anchor.

    Scores and attention are those of `TokenMIL`; so are its parameters, to which those of
    `Stabilized` come.
    """

    card = CARDS["asmil"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        tokens: int = 8,
        dim: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
        drop_ratio: float = 0.5,
        token_drop: Literal["bernoulli", "count"] = "bernoulli",
        branch_weight: float = 0.0,
        beta: float = 0.1,
        temperature: float = 0.5,
        reduction: Literal["sum", "mean_all"] = "sum",
        anchor: Literal["ema", "frozen"] = "ema",
        start: Literal["copy", "random"] = "copy",
        momentum: float = 0.999,
        anchor_weights: Literal["sigmoid", "softmax"] = "sigmoid",
    ) -> None:
        def build() -> TokenMIL:
            return TokenMIL(
                in_dim,
                n_out,
                tokens=tokens,
                dim=dim,
                heads=heads,
                dropout=dropout,
                drop_ratio=drop_ratio,
                token_drop=token_drop,
                branch_weight=branch_weight,
            )

        super().__init__(
            build,
            beta=beta,
            temperature=temperature,
            reduction=reduction,
            anchor=anchor,
            start=start,
            momentum=momentum,
            anchor_weights=anchor_weights,
        )
