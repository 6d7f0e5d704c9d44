"""Optimisers by name, and the learning rate as a function of how far training has come."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from wsi_tools.training.history import History
from wsi_tools.training.recipe import Recipe

__all__ = ["make_optimizer", "rate", "set_rate"]


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the parameters that learn; slower ones in groups of their own.

    Fused: one call for all parameters, where bags of a few tiles would spend more on the calls
    than on the arithmetic.
    """
    groups = list(_groups(model, recipe))
    if recipe.optimizer == "sgd":
        return SGD(
            groups,
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    kind = AdamW if recipe.optimizer == "adamw" else Adam
    return kind(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def rate(recipe: Recipe, progress: float, history: History) -> float:
    """The learning rate at `progress` epochs since the beginning, in fractions of one."""
    warm = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    return recipe.lr * warm * _factor(recipe, progress, history)


def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["share"]


def _factor(recipe: Recipe, progress: float, history: History) -> float:
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress / recipe.epochs)))
    if recipe.schedule == "steps":
        return float(0.1 ** sum(progress >= epoch for epoch in recipe.milestones))
    if recipe.schedule == "plateau":
        return float(0.1 ** history.plateaus(recipe.plateau_patience))
    return 1.0


def _groups(model: nn.Module, recipe: Recipe) -> Iterable[dict[str, object]]:
    shares: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            share = next((part for prefix, part in recipe.slower if name.startswith(prefix)), 1.0)
            shares.setdefault(share, []).append(parameter)
    for share, parameters in shares.items():
        yield {"params": parameters, "share": share, "lr": recipe.lr * share}
