"""Layers that several models share: tile scorers, branch classifiers, normalised sigmoid."""

import torch
from torch import Tensor, nn

__all__ = [
    "BranchClassifiers",
    "GatedAttention",
    "TanhAttention",
    "normalised_sigmoid",
    "projection",
    "softmax",
]


def projection(
    in_dim: int, out_dim: int, *, dropout: float = 0.0, bias: bool = True
) -> nn.Sequential:
    """Linear, ReLU, dropout: what most papers put between features and attention."""
    return nn.Sequential(nn.Linear(in_dim, out_dim, bias=bias), nn.ReLU(), nn.Dropout(dropout))


class TanhAttention(nn.Module):
    """Scores ``w tanh(V h)`` of tiles (Ilse et al. 2018, eq. 8 before the softmax).

    Maps ``(N, dim)`` to ``(rows, N)``.
    """

    def __init__(self, dim: int, hidden_dim: int, rows: int = 1, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.tanh_branch = nn.Linear(dim, hidden_dim)
        self.weight = nn.Linear(hidden_dim, rows)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tiles: Tensor) -> Tensor:
        """Score the tiles."""
        hidden = self.dropout(torch.tanh(self.tanh_branch(tiles)))  # (N, hidden)
        scores: Tensor = self.weight(hidden)
        return scores.T  # (rows, N)


class GatedAttention(nn.Module):
    """Scores ``w (tanh(V h) * sigmoid(U h))`` of tiles (Ilse et al. 2018, eq. 9).

    Maps ``(N, dim)`` to ``(rows, N)``; dropout follows each branch.
    """

    def __init__(self, dim: int, hidden_dim: int, rows: int = 1, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.tanh_branch = nn.Linear(dim, hidden_dim)
        self.gate_branch = nn.Linear(dim, hidden_dim)
        self.weight = nn.Linear(hidden_dim, rows)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tiles: Tensor) -> Tensor:
        """Score the tiles."""
        signal = self.dropout(torch.tanh(self.tanh_branch(tiles)))  # (N, hidden)
        gate = self.dropout(torch.sigmoid(self.gate_branch(tiles)))  # (N, hidden)
        scores: Tensor = self.weight(signal * gate)
        return scores.T  # (rows, N)


class BranchClassifiers(nn.Module):
    """A linear read-out of its own for each of n branches: ``(n, dim)`` to ``(n,)``."""

    def __init__(self, dim: int, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(dim, 1) for _ in range(branches))

    def forward(self, pooled: Tensor) -> Tensor:
        """Read every branch out."""
        return torch.cat([read(row) for read, row in zip(self.branches, pooled, strict=True)])


def softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis in float32 or better: half precision cannot hold 1/N."""
    return scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))


def normalised_sigmoid(scores: Tensor, temperature: float = 1.0) -> Tensor:
    """Sigmoids of ``scores / temperature`` divided by their sum over the last axis.

    ASMIL (arXiv:2603.06658), its normalised sigmoid function; the guard 1e-8 is the release's.
    High scores come out nearly equal, where a softmax would choose among them.
    """
    exact = scores.to(torch.promote_types(scores.dtype, torch.float32))
    gates = torch.sigmoid(exact / temperature)
    return gates / (gates.sum(dim=-1, keepdim=True) + 1e-8)
