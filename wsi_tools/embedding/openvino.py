"""A network as OpenVINO runs it on a CPU: converted once, kept, compiled for this processor.

Conversion takes seconds and some memory, so its result is kept in the user's cache folder under a
name that holds what it depends on: the weights, the network and the versions of who made it.
"""

import os
import sys
import tempfile
import threading
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsi_tools.embedding.cards import Card, feature_key
from wsi_tools.errors import UnavailableError
from wsi_tools.store.requests import fingerprint

__all__ = ["Compiled", "Share", "cache_folder", "compiled", "refuse_unless_installed"]

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
"""What it computes in, by its own names."""


class Compiled(nn.Module):
    """A compiled network in the place of a module of torch; several threads may call it."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network
        self._own = threading.local()

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, px, px) float32, channels last in memory → (B, width) float32."""
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()  # (B, px, px, 3)
        return torch.from_numpy(self._request().infer(pixels, share_inputs=True)[0])

    def _request(self) -> Any:
        """This thread's: a request takes one batch at a time."""
        if not hasattr(self._own, "request"):
            self._own.request = self._network.create_infer_request()
        return self._own.request


def refuse_unless_installed() -> None:
    """Say how to get it, before anything is loaded.

    Raises:
        UnavailableError: OpenVINO is not installed.
    """
    _openvino()


@dataclass(frozen=True)
class Share:
    """Of the machine: how many threads compute, and on how many batches at a time."""

    threads: int
    batches: int


def compiled(
    network: nn.Module, card: Card, weights: str, dtype: torch.dtype, share: Share
) -> Compiled:
    """Convert a network, or take the conversion that is kept, and compile it.

    Args:
        network: on the CPU, in evaluation mode.
        card: of the network, complete.
        weights: what tells them from others.
        dtype: float32 or bfloat16.
        share: of the machine.

    Raises:
        UnavailableError: OpenVINO is not installed.
    """
    core = _openvino().Core()
    settings = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
        "INFERENCE_NUM_THREADS": share.threads,
        "NUM_STREAMS": share.batches,
        "ENABLE_CPU_PINNING": False,  # another worker may be on the same cores
    }
    model = _converted(network, card, weights)
    return Compiled(core.compile_model(model, "CPU", settings))


def cache_folder() -> Path:
    """Where conversions are kept: under ``XDG_CACHE_HOME``, or ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "wsitools" / "openvino"


def _openvino() -> Any:
    """OpenVINO, without the package by which it reports every import over the internet."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: not there
    try:
        import openvino
    except ImportError as error:
        raise UnavailableError(
            "--engine openvino: is not installed; pip install 'wsitools[openvino]'"
        ) from error
    return openvino


def _converted(network: nn.Module, card: Card, weights: str) -> Any:
    if not _is_told_by_name(card):
        return _conversion(network, card)
    file = cache_folder() / f"{_name(card, weights)}.xml"
    if not file.is_file():
        model = _conversion(network, card)
        with suppress(OSError):  # a home that is full or read-only costs time, no features
            _keep(model, file)
        return model
    return file


def _is_told_by_name(card: Card) -> bool:
    """Whether card and versions say all of a network; a folder or a plug-in may change unseen."""
    return not card.builder and (card.scheme in ("timm", "torchvision") or bool(card.architecture))


def _name(card: Card, weights: str) -> str:
    makers = {name: version(name) for name in ("openvino", "timm", "torch", "torchvision")}
    made_of = {"card": asdict(card), "weights": weights, "makers": makers}
    return f"{feature_key(card.name)}-{fingerprint(made_of)[:16]}"


def _conversion(network: nn.Module, card: Card) -> Any:
    """The network, for any number of pictures with their channels last."""
    vino, px = _openvino(), card.px
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how torch traces is no concern of who embeds
        example = torch.zeros(2, 3, px or 1, px or 1)
        model = vino.convert_model(network, example_input=example, input=[-1, 3, px, px])
    steps = vino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_layout(vino.Layout("NHWC"))
    steps.input().model().set_layout(vino.Layout("NCHW"))
    return steps.build()


def _keep(model: Any, file: Path) -> None:
    """Write both files elsewhere first; the name that is looked for comes last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        fresh = Path(folder) / file.name
        _openvino().save_model(model, fresh, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            fresh.with_suffix(suffix).replace(file.with_suffix(suffix))
