"""Weights for the rows of embedding: random, and settled so that every layer matters."""

from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wsi_tools.embedding.cards import Card, feature_key, find_card
from wsi_tools.embedding.networks import build

__all__ = ["plain_network", "settled_weights"]

BRANCH, THROUGH = (0.1, 0.5), (0.5, 1.5)  # scales of norms, about as trained networks have them
SETTLING = 32  # pictures from which batch norms take their statistics


def settled_weights(folder: Path, name: str, pictures: Tensor) -> Path:
    """A weights file of a backbone, made once.

    A fresh network hides its residual branches behind a scale of zero, so that it would agree with
    any other. Here scales and offsets are drawn, and batch norms know the statistics of what
    passes through them.

    Args:
        folder: where to.
        name: of the backbone.
        pictures: ``(B, 3, px, px)`` float32, normalised.
    """
    path = folder / f"{feature_key(name)}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        module = build(find_card(name)).module
        norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in norms:
            ends_a_branch = not layer.weight.any()  # timm begins them at zero
            nn.init.uniform_(layer.weight, *(BRANCH if ends_a_branch else THROUGH))
            nn.init.normal_(layer.bias, std=0.2)
            layer.momentum = None  # the statistics of all that was seen
        with torch.inference_mode():
            module.train()(pictures[:SETTLING])
        save_file(module.state_dict(), path)
    return path


def plain_network(name: str, weights: Path) -> Callable[[Tensor], Tensor]:
    """The network as others run it: eager, NCHW, float32; ``(B, 3, px, px)`` → ``(B, D)``."""
    card, state = find_card(name), load_file(weights)
    if card.stage is None:
        module = build(card).module.eval()
        module.load_state_dict(state)
        return module
    return _first_stages(card, card.stage, state)


def _first_stages(card: Card, stage: int, state: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    module = timm.create_model(card.reference, features_only=True, out_indices=(stage,)).eval()
    module.load_state_dict(state, strict=False)  # the stages behind are not there
    return lambda pictures: module(pictures)[0].mean(dim=(2, 3))
