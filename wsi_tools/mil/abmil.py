"""Attention-based deep MIL, plain and gated (Ilse, Tomczak, Welling; ICML 2018, arXiv:1802.04712).

Departures: the convolutional front end is the backbone's business; `n_out` logits instead of one
sigmoid, so that any task can read them.
"""

from torch import Tensor, nn

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import GatedAttention, TanhAttention, projection

__all__ = ["ABMIL", "GATED_ORIGINAL_KEYS", "ORIGINAL_KEYS", "GatedABMIL"]

ORIGINAL_KEYS = {
    r"feature_extractor_part2\.0": "project.0",
    r"attention\.0": "attention.tanh_branch",
    r"attention\.2": "attention.weight",
    r"classifier\.0": "classifier",
}
GATED_ORIGINAL_KEYS = {
    r"feature_extractor_part2\.0": "project.0",
    r"attention_V\.0": "attention.tanh_branch",
    r"attention_U\.0": "attention.gate_branch",
    r"attention_w": "attention.weight",
    r"classifier\.0": "classifier",
}


class ABMIL(AttentionMIL):
    """Softmax of tanh scores pools the projected tiles.

    Scores and attention are ``(1, N)``; the attention sums to one over the bag.
    """

    card = CARDS["abmil"]
    scorer: type[TanhAttention | GatedAttention] = TanhAttention

    def __init__(
        self,
        in_dim: int,
        n_out: int,
        *,
        hidden_dim: int = 500,
        attention_dim: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.project = projection(in_dim, hidden_dim, dropout=dropout)
        self.attention = self.scorer(hidden_dim, attention_dim, dropout=dropout)
        self.classifier = nn.Linear(hidden_dim, n_out)

    def score(self, bag: Bag) -> Scored:
        """Project the tiles and score them, ``(1, N)``."""
        tiles = self.project(bag.tiles)  # (N, hidden)
        return Scored(tiles, self.attention(tiles))

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Classify the weighted mean of the projected tiles."""
        pooled = attention @ scored.tiles  # (1, hidden)
        return MILOutput(self.classifier(pooled).squeeze(0), scored.scores, attention)


class GatedABMIL(ABMIL):
    """ABMIL with gated scores (eq. 9); shapes as in `ABMIL`."""

    card = CARDS["gated-abmil"]
    scorer = GatedAttention
