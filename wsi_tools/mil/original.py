"""Weights of the papers' released code, under this package's names."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from wsi_tools.errors import InputError

__all__ = ["KeyMap", "load_original", "translate"]

KeyMap = Mapping[str, str | None]
"""Pattern at the start of a released key -> our name (a template), None where we hold no such part.

Each model file states its own as `ORIGINAL_KEYS`; the first pattern that matches counts.
"""


def _renamed(key: str, keys: KeyMap) -> str | None:
    for pattern, ours in keys.items():
        if found := re.match(rf"{pattern}(?=\.|$)", key):
            return None if ours is None else found.expand(ours) + key[found.end() :]
    raise InputError(f"{key}: no such weight in the released model; {len(keys)} patterns are known")


def translate(state: Mapping[str, Tensor], keys: KeyMap) -> dict[str, Tensor]:
    """A released state dict under our names.

    Raises:
        InputError: a key that the map does not know.
    """
    renamed = {_renamed(key, keys): value for key, value in state.items()}
    return {name: value for name, value in renamed.items() if name is not None}


def load_original(module: nn.Module, state: Mapping[str, Tensor], keys: KeyMap) -> None:
    """Load a released state dict into `module`, every weight of which it must fill.

    Tensors that differ only by axes of length one are reshaped; dtypes follow the module.
    """
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    ours = translate(state, keys)
    module.load_state_dict(
        {name: value.reshape(shapes.get(name, value.shape)) for name, value in ours.items()}
    )
