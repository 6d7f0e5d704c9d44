"""CLAM, single and multi branch (Lu et al., Nature Biomedical Engineering 2021, arXiv:2004.09666).

Departures: a bag of fewer tiles than `k_sample` takes them all (the released code fails); the
instance loss is cross entropy (the release also offers an SVM loss of another package).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.bag import AttentionMIL, Bag, MILOutput, Scored
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.layers import BranchClassifiers, GatedAttention, TanhAttention, projection

__all__ = ["ORIGINAL_KEYS", "ClamMB", "ClamSB", "Instances"]

ORIGINAL_KEYS = {
    r"attention_net\.0": "project.0",
    r"attention_net\.3\.attention_a\.0": "attention.tanh_branch",
    r"attention_net\.3\.attention_b\.0": "attention.gate_branch",
    r"attention_net\.3\.attention_c": "attention.weight",
    r"attention_net\.3\.module\.0": "attention.tanh_branch",
    r"attention_net\.3\.module\.[23]": "attention.weight",  # 2 without dropout, 3 with it
    r"classifiers\.(\d+)": r"classifier.branches.\1",
    r"classifiers": "classifier",
    r"instance_classifiers": "instance_classifiers",
}


@dataclass(frozen=True, eq=False)
class Instances:
    """The tiles that the instance loss looked at, in class order.

    Attributes:
        loss: ``()`` before weighting.
        labels: ``(n,)`` the pseudo labels, 1 for evidence of the class.
        logits: ``(n, 2)`` of the class's instance classifier.
    """

    loss: Tensor
    labels: Tensor
    logits: Tensor


class ClamSB(AttentionMIL):
    """One attention branch; its extreme tiles train an instance classifier per class.

    Scores and attention are ``(1, N)``; the attention sums to one. With a target, the task's loss
    counts `bag_weight` and the auxiliary loss ``instance`` the rest.

    Args:
        in_dim: feature width.
        n_out: number of classes.
        hidden_dim: width of the projected tiles.
        attention_dim: width of the attention branches (the paper's ``big``: 384).
        gated: gated attention, else tanh alone.
        k_sample: tiles taken from each end of the attention.
        bag_weight: weight of the task's loss.
        subtyping: classes exclude each other, so that the most attended tiles are evidence
            against every other class.
        dropout: after the projection and after each attention branch.
    """

    card = CARDS["clam-sb"]
    branches_per_class: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        hidden_dim: int = 512,
        attention_dim: int = 256,
        gated: bool = True,
        k_sample: int = 8,
        bag_weight: float = 0.7,
        subtyping: bool = False,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.k_sample, self.bag_weight, self.subtyping = k_sample, bag_weight, subtyping
        rows = n_out if self.branches_per_class else 1
        scorer = GatedAttention if gated else TanhAttention
        self.project = projection(in_dim, hidden_dim, dropout=dropout)
        self.attention = scorer(hidden_dim, attention_dim, rows, dropout=dropout)
        per_class = self.branches_per_class
        self.classifier = (
            BranchClassifiers(hidden_dim, n_out) if per_class else nn.Linear(hidden_dim, n_out)
        )
        self.instance_classifiers = nn.ModuleList(nn.Linear(hidden_dim, 2) for _ in range(n_out))

    def score(self, bag: Bag) -> Scored:
        """Project the tiles and score them, ``(branches, N)``."""
        tiles = self.project(bag.tiles)  # (N, hidden)
        return Scored(tiles, self.attention(tiles))

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """Classify each branch's weighted mean; with a target, judge the extreme tiles."""
        pooled = attention @ scored.tiles  # (branches, hidden)
        logits = self.classifier(pooled).flatten()  # (n_out,)
        if target is None:
            return MILOutput(logits, scored.scores, attention)
        instance = (1 - self.bag_weight) * self.instances(scored.tiles, attention, target).loss
        auxiliary = {"instance": instance}
        return MILOutput(logits, scored.scores, attention, auxiliary, task_weight=self.bag_weight)

    def instances(self, tiles: Tensor, attention: Tensor, target: Tensor) -> Instances:
        """Judge the extreme tiles of each class's attention row.

        Args:
            tiles: ``(N, hidden)``.
            attention: ``(branches, N)``; only its order counts.
            target: the class index.
        """
        rows = attention.expand(len(self.instance_classifiers), -1)
        judged = [
            self._judge(index, tiles, row, truth=index == int(target))
            for index, row in enumerate(rows)
            if self.subtyping or index == int(target)
        ]
        losses = [functional.cross_entropy(logits, labels) for labels, logits in judged]
        loss = torch.stack(losses).sum() / (len(rows) if self.subtyping else 1)
        labels, logits = (torch.cat(column) for column in zip(*judged, strict=True))
        return Instances(loss, labels, logits)

    def _judge(
        self, index: int, tiles: Tensor, row: Tensor, *, truth: bool
    ) -> tuple[Tensor, Tensor]:
        k = min(self.k_sample, len(tiles))
        chosen = row.topk(k).indices  # (k,)
        labels = torch.full((k,), int(truth), device=tiles.device)
        if truth:
            chosen = torch.cat((chosen, (-row).topk(k).indices))  # (2k,)
            labels = torch.cat((labels, labels * 0))
        return labels, self.instance_classifiers[index](tiles[chosen])


class ClamMB(ClamSB):
    """One attention branch and one classifier per class: scores and attention ``(n_out, N)``."""

    card = CARDS["clam-mb"]
    branches_per_class = True
