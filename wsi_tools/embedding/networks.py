"""Networks without weights: built from a card by timm, torchvision or a plug-in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from wsi_tools.embedding.cards import Card
from wsi_tools.errors import InputError, WeightsError

__all__ = ["Network", "build", "published"]


@dataclass(frozen=True)
class Network:
    """What was built for a card, before any weights.

    Attributes:
        module: float32; gives (B, width) once it is cut at the card's stage.
        card: with nothing left open.
        heads: names of the classifier that was taken off, which a weights file may still hold.
    """

    module: nn.Module
    card: Card
    heads: Sequence[str] = ()

    def cut(self) -> None:
        """Drop the stages after the card's last one; done after loading, which wants them all."""
        if self.card.stage is not None:
            module: Any = self.module  # one of timm's
            module.prune_intermediate_layers([self.card.stage])
            module.reset_classifier(0, "avg")  # pruning took the pooling off as well


def build(card: Card, folder: Path | None = None) -> Network:
    """Build what a card describes, with the initial values that torch's generator gives.

    Args:
        card: whose open fields are filled from the model's own configuration.
        folder: holds that configuration, for a hub's model without an architecture of its own.

    Raises:
        InputError: no library knows the model, or it does not take square RGB images.
        WeightsError: the configuration is missing or damaged.
    """
    if card.builder:
        return Network(_plugged_in(card), card)
    if card.scheme == "torchvision":
        return _from_torchvision(card)
    if card.scheme == "timm" or card.architecture:
        return _from_timm(card, card.architecture or card.reference)
    return _from_folder(card, folder or Path(card.reference))


def _plugged_in(card: Card) -> nn.Module:
    module, _, function = str(card.builder).partition(":")
    network: nn.Module = getattr(import_module(module), function)()
    return network


def _from_folder(card: Card, folder: Path) -> Network:
    try:
        return _from_timm(card, f"local-dir:{folder}")
    except InputError:
        raise
    except (OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{folder / 'config.json'}: does not describe a timm model: {error}"
        ) from error


def _from_timm(card: Card, model: str) -> Network:
    import timm  # as long to import as torch, and other libraries' models need it not

    try:
        module = timm.create_model(model, pretrained=False, num_classes=0, **card.arguments)
    except RuntimeError as error:  # an unknown model, an unknown tag, a folder's unknown model
        raise InputError(f"{card.name}: timm cannot build it: {error}") from error
    card = _completed(card, module.head_hidden_size, timm.data.resolve_model_data_config(module))
    heads = module.pretrained_cfg.get("classifier") or ()
    return Network(
        module,
        card,
        heads=(heads,) if isinstance(heads, str) else tuple(heads),
    )


def _completed(card: Card, width: int, data: dict[str, Any]) -> Card:
    channels, height, px = data["input_size"]
    if channels != 3 or height != px:
        size = f"{channels} × {height} × {px}"
        raise InputError(f"{card.name}: takes {size}; only square RGB images are embedded")
    return replace(
        card,
        width=card.width or width,
        px=card.px or px,
        mean=card.mean or tuple(data["mean"]),
        std=card.std or tuple(data["std"]),
        interpolation=card.interpolation or data["interpolation"],
    )


# Built with published weights these two rescale their input inside the network, without them not.
_RESCALING = ("googlenet", "inception_v3")


def _from_torchvision(card: Card) -> Network:
    from torchvision import models

    transform = _torchvision_weights(card).transforms()
    if card.reference in _RESCALING:
        raise InputError(f"{card.name}: rescales its input in a way that no weights file tells")
    module = models.get_model(card.reference, weights=None)
    head, width = _take_off_classifier(module)
    data = {
        "input_size": (3, *transform.crop_size * 2),
        "mean": transform.mean,
        "std": transform.std,
        "interpolation": transform.interpolation.value,
    }
    return Network(module, _completed(card, width, data), heads=(head,))


def _take_off_classifier(module: nn.Module) -> tuple[str, int]:
    """Put nothing in the place of the last weighted layer; its name, and the width before it."""
    weighted = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    name, last = weighted[-1]
    module.set_submodule(name, nn.Identity())
    return name, last.in_features if isinstance(last, nn.Linear) else last.in_channels


def published(card: Card) -> tuple[str | None, str | None]:
    """Where a model's own weights are: a repository of the hub, or else an address.

    Raises:
        InputError: the library that the card names knows no such model.
    """
    if card.scheme == "hf-hub":
        return card.reference, None
    if card.scheme == "torchvision":
        return None, _torchvision_weights(card).url
    import timm

    if not timm.is_model(card.reference):
        raise InputError(f"{card.name}: timm has no such model")
    try:
        own = timm.get_pretrained_cfg(card.reference)
    except RuntimeError as error:
        raise InputError(f"{card.name}: timm cannot build it: {error}") from error
    return (own.hf_hub_id, own.url) if own else (None, None)


def _torchvision_weights(card: Card) -> Any:
    from torchvision import models

    if card.reference not in models.list_models(module=models):
        raise InputError(f"{card.name}: torchvision has no such model for images")
    return models.get_model_weights(card.reference).DEFAULT
