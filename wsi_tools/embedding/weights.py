"""Weights out of files: read without running code, matched with a network name by name."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wsi_tools.errors import InputError, WeightsError

__all__ = ["WeightsRecord", "load_weights", "random_seed", "read_weights", "sha256_of"]


@dataclass(frozen=True)
class WeightsRecord:
    """Which weights a backbone holds, as a store remembers them.

    Attributes:
        source: ``hf-hub:ORG/NAME/FILE``, ``url:FILE``, ``file:NAME``, or ``random:SEED``.
        sha256: of the file; None for random weights.
        revision: the commit of the repository the file came from, where it came from one.
        architecture: what was built to hold them.
    """

    source: str
    sha256: str | None
    revision: str | None
    architecture: str

    @property
    def identity(self) -> str:
        """Equal for equal weights wherever they were found: the hash, or the seed and network."""
        return self.sha256 or f"{self.source} {self.architecture}"


def random_seed(weights: str | Path | None) -> int | None:
    """The seed of ``random:SEED``; None for anything else.

    Raises:
        InputError: ``random:`` is followed by something that is no whole number.
    """
    kind, colon, seed = str(weights).partition(":")
    if kind != "random" or not colon:
        return None
    if not re.fullmatch(r"\d{1,18}", seed, re.ASCII):
        raise InputError(f"--weights {weights}: give a whole number as the seed, as in random:0")
    return int(seed)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# What PyTorch's reader raises on bytes that are no weights, found by feeding it such bytes.
_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    AttributeError,
    TypeError,
    AssertionError,
    SafetensorError,
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or PyTorch file, by name, on the CPU.

    A ``state_dict`` or ``model`` around them, and a ``module.`` or ``model.`` before every name,
    are taken off. Nothing in the file is executed.

    Raises:
        WeightsError: the file is missing, damaged, holds no tensors, or is a pickle of anything
            but tensors and plain values.
    """
    try:
        held = _load(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: not plain tensors, or a pickle that could run code, which is never loaded; "
            "save its state_dict as safetensors"
        ) from error
    except _UNREADABLE as error:
        raise WeightsError(f"{path}: not a readable weights file: {_first_line(error)}") from error
    return _unprefixed(_tensors(path, held))


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    with warnings.catch_warnings():
        # On a pickle's protocol: if it cannot be read, the error that follows says so.
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(path: Path, held: Any) -> dict[str, Tensor]:
    while isinstance(held, Mapping) and (inner := _inner(held)) is not None:
        held = inner
    if not isinstance(held, Mapping):
        raise WeightsError(f"{path}: holds a {type(held).__name__}, not tensors by name")
    tensors = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors by name; give a state_dict")
    return tensors


def _inner(held: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    wrapped = (held.get(name) for name in ("state_dict", "model"))
    return next((inner for inner in wrapped if isinstance(inner, Mapping)), None)


def _unprefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in tensors):
            return _unprefixed({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors


def load_weights(
    network: nn.Module, tensors: Mapping[str, Tensor], *, what: str, heads: Sequence[str] = ()
) -> None:
    """Copy tensors into a network; every name and shape must agree.

    Args:
        network: float32; tensors of another precision are converted.
        tensors: by name, as `read_weights` gives them.
        what: opens the error message, such as ``file.pth: not weights of resnet50``.
        heads: names of classifiers, which the tensors may hold and the network may lack.

    Raises:
        WeightsError: names are missing, surplus, or of another shape; each is counted and named.
    """
    given = _without(heads, tensors)
    expected = _without(heads, network.state_dict())
    if complaints := [each for each in _compare(given, expected) if each]:
        raise WeightsError(f"{what}: {', '.join(complaints)}")
    network.load_state_dict(dict(given), strict=False)  # strict is `_compare`, and says more


def _without(heads: Sequence[str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefixes = tuple(f"{head}." for head in heads)
    return {name: each for name, each in tensors.items() if not name.startswith(prefixes)}


def _compare(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    # Batch normalisation counts its training steps since PyTorch 0.4.1; inference never asks.
    asked = [name for name in expected if not name.endswith("num_batches_tracked")]
    missing = [name for name in asked if name not in given]
    surplus = [name for name in given if name not in expected]
    shapes = {name: (given[name].shape, expected[name].shape) for name in asked if name in given}
    reshaped = [
        f"{name} {tuple(is_)} for {tuple(should)}"
        for name, (is_, should) in shapes.items()
        if is_ != should
    ]
    return [
        _counted(missing, "missing"),
        _counted(reshaped, "of another shape"),
        _counted(surplus, "too many"),
    ]


def _counted(names: Sequence[str], fault: str) -> str:
    if not names:
        return ""
    keys = "key" if len(names) == 1 else "keys"
    return f"{len(names)} {keys} {fault} (first: {names[0]})"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
