"""Discrete-time survival: bins of time, hazards, the likelihood of a follow-up, risk.

The objective of Fluoroformer (arXiv:2411.08975), which is the usual one for a hazard per bin.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["hazards", "negative_log_likelihood", "risk", "survival", "time_bins"]


def time_bins(times: Tensor, edges: Tensor) -> Tensor:
    """Bin number ``(n,)`` of each time; a time equal to an edge falls in the lower bin.

    Args:
        times: ``(n,)`` follow-up times.
        edges: ``(bins - 1,)`` increasing inner edges, in the same unit.
    """
    return torch.bucketize(times, edges)


def hazards(logits: Tensor, eps: float = 0.0) -> Tensor:
    """Probability ``(..., bins)`` of the event in each bin, given survival until it."""
    return torch.sigmoid(logits) + eps


def survival(logits: Tensor, eps: float = 0.0) -> Tensor:
    """Probability ``(..., bins)`` of surviving through each bin."""
    return torch.cumprod(1 - hazards(logits, eps), dim=-1)


def risk(logits: Tensor) -> Tensor:
    """Minus the sum of the survival curve, ``(...)``: larger is worse."""
    return -survival(logits).sum(dim=-1)


def negative_log_likelihood(
    logits: Tensor, bins: Tensor, censored: Tensor, eps: float = 0.0, censored_share: float = 1.0
) -> Tensor:
    """Minus the log likelihood ``(n,)`` of each follow-up.

    An event in bin y has survived the bins before y; a censored case has survived bin y too, or
    the stated share of it on the log scale.

    Args:
        logits: ``(n, bins)`` of the hazards.
        bins: ``(n,)`` bin numbers.
        censored: ``(n,)`` 1 where the case was censored, 0 where the event was seen.
        eps: added to each hazard by the released code (1e-8), whose loss is not finite where a
            hazard saturates; 0 is the stable form, which differs by about eps / hazard.
        censored_share: how much of its bin a censored case is credited with.
    """
    if eps:
        chance = hazards(logits, eps)
        log_hazard, log_spared = chance.log(), torch.log1p(-chance)
    else:
        log_hazard, log_spared = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    log_survival = functional.pad(
        log_spared.cumsum(dim=-1), (1, 0)
    )  # (n, bins + 1): before each bin
    row = bins.to(torch.int64)[:, None]
    before, through = log_survival.gather(1, row)[:, 0], log_survival.gather(1, row + 1)[:, 0]
    event = before + log_hazard.gather(1, row)[:, 0]
    spared = before + censored_share * (through - before)
    return -torch.where(censored.bool(), spared, event)
