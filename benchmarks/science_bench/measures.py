"""How well scores find what they should, and how far and how sharp attention is."""

import torch
from torch import Tensor

__all__ = ["auc", "entropy", "jensen_shannon"]


def auc(scores: Tensor, truth: Tensor) -> float:
    """Chance that a true entry of `truth` ``(n,)`` bool scores above a false one; ties count half.

    NaN where either kind is missing.
    """
    true, false = scores[truth].double()[:, None], scores[~truth].double()
    return float(((true > false).double() + (true == false).double() / 2).mean())


def entropy(weights: Tensor) -> float:
    """Entropy of ``(..., N)`` weights over the last axis, divided by ln N, mean of the rows."""
    nats = -torch.xlogy(weights, weights).sum(dim=-1)
    return float((nats / torch.tensor(weights.shape[-1]).log()).mean())


def jensen_shannon(first: Tensor, second: Tensor) -> float:
    """Jensen-Shannon divergence in nats of ``(..., N)`` weights, mean of the rows; at most ln 2."""
    middle = (first + second) / 2
    halves = [_kullback_leibler(weights, middle) for weights in (first, second)]
    return float((halves[0] + halves[1]).mean() / 2)


def _kullback_leibler(weights: Tensor, reference: Tensor) -> Tensor:
    terms = torch.xlogy(weights, weights) - torch.xlogy(weights, reference)
    return terms.sum(dim=-1)
