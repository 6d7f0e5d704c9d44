"""DTFD-MIL: random pseudo-bags are pooled first; what they distil is pooled again.

Zhang et al.; CVPR 2022, arXiv:2203.12081. Departures: one optimiser sees both tiers, whose losses
stay apart because the second reads detached features (what the released update means to do);
evaluation groups the tiles by a fixed seed, so that it repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.bag import Bag, MILModel, MILOutput, target_loss
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import GatedAttention, projection, softmax
from wsi_tools.mil.options import require_choice

__all__ = ["DTFDMIL", "ORIGINAL_KEYS", "PseudoBag"]

_ATTENTION = {
    r"attention_V\.0": "tanh_branch",
    r"attention_U\.0": "gate_branch",
    r"attention_weights": "weight",
}
ORIGINAL_KEYS = {
    r"dimReduction\.fc1": "project.0",
    r"dimReduction\.resBlocks\.(\d+)\.block\.(\d)": r"residuals.\1.block.\2",
    r"classifier\.fc": "classifier",
    r"attCls\.classifier\.fc": "bag_classifier",
    **{rf"attention\.{released}": f"attention.{ours}" for released, ours in _ATTENTION.items()},
    **{
        rf"attCls\.attention\.{released}": f"bag_attention.{ours}"
        for released, ours in _ATTENTION.items()
    },
}


@dataclass(frozen=True, eq=False)
class PseudoBag:
    """One group of tiles after the first tier.

    Attributes:
        rows: ``(n,)`` which tiles of the bag.
        attention: ``(n,)`` softmax within the group.
        logits: ``(n_out,)`` of the group.
        probabilities: ``(n, n_out)`` of each tile, from its weighted features without bias.
        distilled: ``(k, dim)`` what the second tier reads.
        origin: ``(k, n)`` the share of each of the group's tiles in the distilled features.
    """

    rows: Tensor
    attention: Tensor
    logits: Tensor
    probabilities: Tensor
    distilled: Tensor
    origin: Tensor


class _Residual(nn.Module):
    """``x + ReLU(W2 ReLU(W1 x))``, without biases."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        first, second = (nn.Linear(dim, dim, bias=False) for _ in range(2))
        self.block = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    def forward(self, tiles: Tensor) -> Tensor:
        updated: Tensor = tiles + self.block(tiles)
        return updated


class DTFDMIL(MILModel):
    """Double-tier feature distillation.

    Scores are the first tier's, ``(1, N)``. The display attention ``(1, N)`` is the second tier's,
    carried back to the tiles each distilled feature was made of; it sums to one. With a target, the
    auxiliary loss ``tier1`` is the mean loss of the groups' own logits.

    Args:
        in_dim: feature width.
        n_out: number of classes.
        dim: width of the projected tiles.
        attention_dim: width of both tiers' attention.
        groups: pseudo-bags, at most one per tile.
        distillation: what a group hands on: its pooled feature (``afs``), its tiles of the highest
            scores (``max``), or of the highest and the lowest (``maxmin``).
        instances: tiles of each end that all groups together hand on.
        residuals: residual blocks after the projection.
        detach: the second tier's loss does not train the first.
        seed: of the grouping in evaluation; training draws from torch's global generator.
    """

    card = CARDS["dtfd"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        dim: int = 512,
        attention_dim: int = 128,
        groups: int = 4,
        distillation: Literal["afs", "max", "maxmin"] = "afs",
        instances: int = 4,
        residuals: int = 0,
        detach: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.distillation = require_choice("distillation", distillation, ("afs", "max", "maxmin"))
        self.groups, self.instances = groups, instances
        self.detach, self.seed = detach, seed
        self.project = projection(in_dim, dim, bias=False)
        self.residuals = nn.Sequential(*(_Residual(dim) for _ in range(residuals)))
        self.attention = GatedAttention(dim, attention_dim)
        self.classifier = nn.Linear(dim, n_out)
        self.bag_attention = GatedAttention(dim, attention_dim)
        self.bag_classifier = nn.Linear(dim, n_out)

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Group the tiles at random, pool each group, pool what the groups distil."""
        return self.read(bag.tiles, self._grouping(len(bag)), target)

    def read(
        self, features: Tensor, grouping: Sequence[Tensor], target: Tensor | None = None
    ) -> MILOutput:
        """Both tiers on ``(N, in_dim)`` features with a given grouping of their rows."""
        tiles = self.residuals(self.project(features))  # (N, dim)
        scores = self.attention(tiles)  # (1, N)
        bags = [self.tier1(tiles[rows], scores[0, rows], rows) for rows in grouping]
        logits, shares = self.tier2(torch.cat([bag.distilled for bag in bags]))
        output = MILOutput(logits, scores, self._carried_back(bags, shares, len(tiles)))
        if target is None:
            return output
        losses = [target_loss(bag.logits, target) for bag in bags]
        return output.adding("tier1", torch.stack(losses).mean())

    def tier1(self, tiles: Tensor, scores: Tensor, rows: Tensor) -> PseudoBag:
        """Pool one group of ``(n, dim)`` tiles by the softmax of its ``(n,)`` scores."""
        attention = softmax(scores)
        weighted = attention[:, None] * tiles  # (n, dim)
        pooled = weighted.sum(dim=0)
        probabilities = softmax(functional.linear(weighted, self.classifier.weight))
        origin, distilled = attention[None], pooled[None]
        if self.distillation != "afs":
            chosen = self._extremes(probabilities[:, -1])  # the last class ranks, as released
            origin, distilled = functional.one_hot(chosen, len(tiles)).to(attention), tiles[chosen]
        logits = self.classifier(pooled)
        return PseudoBag(rows, attention, logits, probabilities, distilled, origin)

    def tier2(self, distilled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the bag and the attention ``(k,)`` to its ``(k, dim)`` distilled features."""
        distilled = distilled.detach() if self.detach else distilled
        shares = softmax(self.bag_attention(distilled))  # (1, k)
        return self.bag_classifier(shares @ distilled).squeeze(0), shares.squeeze(0)

    def _extremes(self, ranks: Tensor) -> Tensor:
        order = ranks.argsort(descending=True)
        count = min(max(self.instances // self.groups, 1), len(order))
        if self.distillation == "max":
            return order[:count]
        return torch.cat((order[:count], order[-count:]))

    def _carried_back(self, bags: Sequence[PseudoBag], shares: Tensor, tiles: int) -> Tensor:
        attention = shares.new_zeros(1, tiles)
        parts = torch.split(shares, [len(bag.distilled) for bag in bags])
        for bag, share in zip(bags, parts, strict=True):
            attention[0, bag.rows] = (share @ bag.origin.to(share)).to(attention)
        return attention

    def _grouping(self, tiles: int) -> tuple[Tensor, ...]:
        generator = None if self.training else torch.Generator().manual_seed(self.seed)
        order = torch.randperm(tiles, generator=generator)
        return order.tensor_split(min(self.groups, tiles))
