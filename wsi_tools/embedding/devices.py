"""Where backbones compute, how precisely, and on how many batches at a time."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_tools.embedding import ENGINES, openvino
from wsi_tools.errors import InputError, UnavailableError
from wsi_tools.execution import computing_cores

__all__ = [
    "DTYPES",
    "computing_in",
    "find_device",
    "find_dtype",
    "lanes_of",
    "refuse_engine",
    "sent",
]

MOST_LANES = 16  # of a CPU: each holds the maps of a batch, a hundred MB of a large network
GPU_LANES = 2  # one copies and launches while the other's kernels run

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def find_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What ``auto``, ``fp32``, ``bf16`` or ``fp16`` means on a device."""
    if precision == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if precision not in DTYPES:
        raise InputError(f"precision {precision!r}: choose from auto, {', '.join(DTYPES)}")
    return DTYPES[precision]


def refuse_engine(engine: str, device: str, precision: str) -> None:
    """Refuse what does not compute on that device, or in that precision.

    Raises:
        InputError: no such engine, or not for that.
        UnavailableError: it is not installed.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r}: choose from {', '.join(ENGINES)}")
    if engine == "openvino":
        if device.startswith("cuda"):
            raise InputError(f"--engine openvino: is for CPUs, not for {device}; use --device cpu")
        if precision == "fp16":
            raise InputError("--engine openvino: computes in --precision fp32 or bf16")
        openvino.refuse_unless_installed()


def find_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:N``, if this machine has it.

    Raises:
        InputError: another name.
        UnavailableError: no such GPU here.
    """
    kind, _, index = name.partition(":")
    if name != "cpu" and (kind != "cuda" or not (index.isdecimal() or name == "cuda")):
        raise InputError(f"device {name!r}: choose from cpu, cuda, cuda:0, cuda:1, …")
    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(index or 0) >= here:
        raise UnavailableError(
            f"device {name}: PyTorch sees {here} GPUs here; use --device cpu, or mend the driver"
        )
    return torch.device(name)


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Autocast to a lower precision, or float32 as it is written, without TF32 convolutions."""
    if dtype != torch.float32:
        return torch.autocast(device.type, dtype)
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def lanes_of(device: torch.device, dtype: torch.dtype) -> int:
    """How many batches a device computes on at a time; on a CPU each has as many cores."""
    if device.type == "cpu":
        cores = computing_cores()
        cores_each = -(-cores // MOST_LANES)
        return cores // cores_each
    return 1 if dtype == torch.float32 else GPU_LANES  # `computing_in` turns TF32 off for all


def sent(pixels: NDArray[Any], device: torch.device) -> Tensor:
    """Pixels on a device; to a GPU they go by pinned memory, behind this thread's stream."""
    tiles = torch.from_numpy(pixels)
    if device.type == "cpu":
        return tiles
    return tiles.pin_memory().to(device, non_blocking=True)
