"""ACMIL: several gated attention branches, pushed apart and masked where they peak.

Zhang et al.; ECCV 2024, arXiv:2311.07125; the form, and the variant with the normalised sigmoid,
are those that ASMIL (arXiv:2603.06658) compares with. Departures: none known.
"""

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored, target_loss
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import GatedAttention, normalised_sigmoid, projection, softmax
from wsi_tools.mil.options import require_choice

__all__ = ["ACMIL", "ORIGINAL_KEYS", "similarity"]

ORIGINAL_KEYS = {
    r"dimreduction\.bn": None,  # in the released state dict, in no computation
    r"dimreduction\.fc1": "project.0",
    r"attention\.attention_V\.0": "attention.tanh_branch",
    r"attention\.attention_U\.0": "attention.gate_branch",
    r"attention\.attention_weights": "attention.weight",
    r"classifier\.(\d+)\.fc": r"branch_classifiers.\1",
    r"Slide_classifier\.fc": "classifier",
}


class ACMIL(AttentionMIL):
    """Attention-challenging MIL.

    Scores and attention are ``(tokens, N)``, one row per branch, each summing to one; the bag is
    pooled by the mean of the rows. With a target there are two auxiliary losses: ``branch``, the
    mean loss of the branches' own logits, and ``diversity``, the mean similarity of their rows.

    Args:
        in_dim: feature width.
        n_out: number of classes.
        tokens: number of branches.
        dim: width of the projected tiles.
        attention_dim: width of the attention branches.
        masked_tiles: of so many highest scores per branch ...
        mask_drop: ... this part is left out of the pooling, at random, in training.
        weights: what scores become, ``softmax`` or the normalised ``sigmoid``.
    """

    card = CARDS["acmil"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        tokens: int = 5,
        dim: int = 512,
        attention_dim: int = 128,
        masked_tiles: int = 10,
        mask_drop: float = 0.6,
        weights: Literal["softmax", "sigmoid"] = "softmax",
    ) -> None:
        super().__init__()
        self.sigmoid = require_choice("weights", weights, ("softmax", "sigmoid")) == "sigmoid"
        self.masked_tiles, self.mask_drop = masked_tiles, mask_drop
        self.project = projection(in_dim, dim, bias=False)
        self.attention = GatedAttention(dim, attention_dim, tokens)
        self.branch_classifiers = nn.ModuleList(nn.Linear(dim, n_out) for _ in range(tokens))
        self.classifier = nn.Linear(dim, n_out)

    def score(self, bag: Bag) -> Scored:
        """Project the tiles and score them by every branch, ``(tokens, N)``."""
        tiles = self.project(bag.tiles)  # (N, dim)
        return Scored(tiles, self.attention(tiles))

    def normalise(self, scores: Tensor) -> Tensor:
        """Weights over the tiles; in training some of the highest scores are left out."""
        if self.training:
            scores = self._masked(scores)
        return normalised_sigmoid(scores) if self.sigmoid else softmax(scores)

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Classify the bag by the mean row; with a target, judge each row and their likeness."""
        logits = self.classifier(attention.mean(dim=0) @ scored.tiles)
        output = MILOutput(logits, scored.scores, attention)
        if target is None:
            return output
        losses = [target_loss(row, target) for row in self.branch_logits(scored.tiles, attention)]
        diversity = similarity(softmax(scored.scores))
        return output.adding("branch", torch.stack(losses).mean()).adding("diversity", diversity)

    def branch_logits(self, tiles: Tensor, attention: Tensor) -> Tensor:
        """Each branch's own logits, ``(tokens, n_out)``."""
        pooled = attention @ tiles  # (tokens, dim)
        reads = zip(self.branch_classifiers, pooled, strict=True)
        return torch.stack([read(row) for read, row in reads])

    def _masked(self, scores: Tensor) -> Tensor:
        highest = scores.topk(min(self.masked_tiles, scores.shape[-1])).indices  # (tokens, k)
        shuffled = torch.rand_like(highest, dtype=torch.float32).argsort(dim=-1)
        left_out = shuffled[:, : int(self.mask_drop * highest.shape[-1])]
        return scores.scatter(-1, highest.gather(-1, left_out), -1e9)  # the released value


def similarity(attention: Tensor) -> Tensor:
    """Mean cosine similarity ``()`` over the pairs of rows of ``(tokens, N)`` attention."""
    pairs = list(combinations(attention, 2))
    if not pairs:
        return attention.new_zeros(())
    return torch.stack(
        [functional.cosine_similarity(one, other, dim=0) for one, other in pairs]
    ).mean()
