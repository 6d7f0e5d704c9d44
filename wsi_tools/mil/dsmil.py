"""DSMIL: an instance stream picks each class's critical tile, whose similarity pools the bag.

Li, Li, Eliceiri; CVPR 2021, arXiv:2011.08939. Departures: the class target may be an index (cross
entropy) as well as multi-hot (the paper's binary cross entropy).
"""

import math

import torch
from torch import Tensor, nn

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored, target_loss
from wsi_tools.mil.cards import CARDS

__all__ = ["DSMIL", "ORIGINAL_KEYS"]

ORIGINAL_KEYS = {
    r"i_classifier\.fc\.0": "tile_classifier",
    r"b_classifier\.q": "query",
    r"b_classifier\.v\.1": "value.1",
    r"b_classifier\.fcc": "bag_classifier",
}


class DSMIL(AttentionMIL):
    """Dual-stream MIL.

    Scores are ``(n_out, N)``, the similarity of each tile's query to that of the class's critical
    tile; the attention is their softmax over the tiles, each row summing to one. With a target the
    task's loss and the auxiliary loss ``max`` (on the largest tile logits) count one half each.

    Args:
        in_dim: feature width.
        n_out: number of classes.
        query_dim: width of the queries.
        nonlinear: two layers make a query, else one linear layer.
        passing_v: transform the pooled values, else pool the features themselves.
        dropout: before the value transform.
    """

    card = CARDS["dsmil"]

    def __init__(
        self,
        in_dim: int,
        n_out: int,
        *,
        query_dim: int = 128,
        nonlinear: bool = True,
        passing_v: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tile_classifier = nn.Linear(in_dim, n_out)
        self.query = _query(in_dim, query_dim) if nonlinear else nn.Linear(in_dim, query_dim)
        value = nn.Sequential(nn.Dropout(dropout), nn.Linear(in_dim, in_dim), nn.ReLU())
        self.value = value if passing_v else nn.Identity()
        self.bag_classifier = nn.Conv1d(n_out, n_out, kernel_size=in_dim)
        self.scale = math.sqrt(query_dim)
        self.apply(_orthogonal)

    def score(self, bag: Bag) -> Scored:
        """Compare every tile with each class's critical tile, ``(n_out, N)``."""
        tile_logits = self.tile_classifier(bag.tiles)  # (N, n_out)
        critical = bag.tiles[tile_logits.argmax(dim=0)]  # (n_out, D)
        scores = self.query(critical) @ self.query(bag.tiles).T / self.scale  # (n_out, N)
        return Scored(self.value(bag.tiles), scores, {"tile_logits": tile_logits})

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Convolve the pooled tiles of all classes; with a target, add the instance stream."""
        pooled = attention @ scored.tiles  # (n_out, D)
        logits = self.bag_classifier(pooled[None]).flatten()  # (n_out,)
        if target is None:
            return MILOutput(logits, scored.scores, attention)
        largest = scored.context["tile_logits"].amax(dim=0)  # (n_out,)
        auxiliary = {"max": 0.5 * target_loss(largest, target)}
        return MILOutput(logits, scored.scores, attention, auxiliary, task_weight=0.5)


def _query(in_dim: int, query_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_dim, query_dim), nn.ReLU(), nn.Linear(query_dim, query_dim), nn.Tanh()
    )


@torch.no_grad()
def _orthogonal(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.orthogonal_(module.weight)
        nn.init.zeros_(module.bias)
