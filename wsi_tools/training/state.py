"""The resume file: where a fold's training stands after its last finished epoch, without pickle.

One safetensors file, replaced in one step: the weights, those of the best epoch, the optimiser's
tensors, and the history. Random states need no room, since every epoch's follow from its seed; an
anchor is among the weights, and what schedules remember is in the history.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wsi_tools.errors import DataError
from wsi_tools.store.files import write_atomically
from wsi_tools.training.history import History
from wsi_tools.training.loop import Learning, weights_of

__all__ = ["load_state", "save_state"]


def save_state(path: Path, learning: Learning) -> None:
    """Write the state of a training."""
    tensors = _prefixed("model", weights_of(learning.model))
    tensors |= _prefixed("best", learning.best)
    for place, values in learning.optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer.{place}", values)
    history = json.dumps(learning.history.as_json())
    write_atomically(path, save(tensors, metadata={"history": history}))


def load_state(path: Path, learning: Learning) -> None:
    """Bring a fresh training to where the file says.

    Raises:
        DataError: the file is torn, or of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            history = History.from_json(json.loads(file.metadata()["history"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
        learning.model.load_state_dict(_under("model", tensors))
        learning.optimizer.load_state_dict(_optimizer_state(learning, tensors))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be continued from ({_first_line(error)}); begin anew with --overwrite"
        ) from None
    learning.history, learning.best = history, _under("best", tensors)


def _optimizer_state(learning: Learning, tensors: dict[str, Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer", tensors).items():
        place, _, part = name.partition(".")
        state.setdefault(int(place), {})[part] = value
    groups = learning.optimizer.state_dict()["param_groups"]
    return {"state": state, "param_groups": groups}


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return {f"{prefix}.{name}": value.cpu().contiguous() for name, value in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: each for name, each in tensors.items() if name.startswith(start)}


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
