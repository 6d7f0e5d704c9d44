"""A backbone ready to embed: its network, its weights, its transform, on a device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_tools.embedding import openvino
from wsi_tools.embedding.cards import Card, find_card
from wsi_tools.embedding.devices import (
    DTYPES,
    computing_in,
    find_device,
    find_dtype,
    lanes_of,
    refuse_engine,
    sent,
)
from wsi_tools.embedding.folding import quickened
from wsi_tools.embedding.networks import Network, build, published
from wsi_tools.embedding.sources import (
    CONFIG,
    WeightsFile,
    fetch_from_hub,
    fetch_from_url,
    given_weights,
)
from wsi_tools.embedding.tiles import Develop
from wsi_tools.embedding.transform import TileTransform
from wsi_tools.embedding.weights import (
    WeightsRecord,
    load_weights,
    random_seed,
    read_weights,
    sha256_of,
)
from wsi_tools.errors import InputError, UnavailableError
from wsi_tools.execution import computing_cores

__all__ = ["Backbone", "load_backbone", "resized_for"]


@dataclass(frozen=True)
class Backbone:
    """Tiles in, one row of features each out; for inference alone.

    Attributes:
        card: complete, as it is copied into a store.
        module: (B, 3, px, px) → (B, width); in evaluation mode, channels last, without gradients.
        width: values per tile.
        weights: where they came from, and their hash.
        transform: (B, H, W, 3) uint8, or planes as float32 → what `module` takes.
        device: where all of it happens.
        dtype: what `module` computes in, wherever that is safe.
    """

    card: Card
    module: nn.Module
    width: int
    weights: WeightsRecord
    transform: TileTransform
    device: torch.device
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int]:
        """Of one tile's features: ``(width,)``."""
        return (self.width,)

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16`` or ``fp16``."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    @property
    def numeric_class(self) -> str:
        """``fp32-exact`` or ``reduced``: features of one class are comparable between machines."""
        return "fp32-exact" if self.dtype == torch.float32 else "reduced"

    @property
    def lanes(self) -> int:
        """On how many batches at a time: on one where a plug-in's network may keep what it sees."""
        is_foreign = bool(self.card.builder) and not isinstance(self.module, openvino.Compiled)
        return 1 if is_foreign else lanes_of(self.device, self.dtype)

    @torch.inference_mode()
    def embed(self, tiles: Tensor) -> Tensor:
        """Tiles as `TileTransform` takes them, on the device → features (B, width) float32.

        Raises:
            InputError: the model gives a map or a sequence per tile where a vector is wanted.
        """
        if not len(tiles):  # oneDNN refuses a batch of none
            return torch.zeros(0, self.width, device=self.device)
        images = self.transform(tiles, exact=self.dtype == torch.float32)  # (B, 3, px, px)
        with computing_in(self.dtype, self.device):
            features: Tensor = self.module(images)  # (B, width)
        if features.shape != (len(tiles), self.width):
            shape = tuple(features.shape[1:])
            raise InputError(f"{self.card.name}: gives {shape} per tile, not {self.width} values")
        return features.float()

    def embed_pixels(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """The same for pixels in memory; in halves where the device is too small.

        Raises:
            UnavailableError: not even one tile fits.
        """
        rows = self._if_it_fits(pixels)
        if rows is not None:
            return rows
        if len(pixels) == 1:
            raise UnavailableError(
                f"{self.device}: has no memory left for one tile; free some, or use --device cpu"
            )
        torch.cuda.empty_cache()
        half = len(pixels) // 2
        return np.concatenate([self.embed_pixels(part) for part in np.split(pixels, [half])])

    def _if_it_fits(self, pixels: NDArray[Any]) -> NDArray[np.float32] | None:
        """None where memory runs out: what the failed pass held is freed on the way back."""
        try:
            rows: NDArray[np.float32]
            rows = self.embed(sent(pixels, self.device)).cpu().numpy()
        except torch.OutOfMemoryError:
            return None
        return rows


def resized_for(backbones: Sequence[Backbone]) -> Develop | None:
    """What the threads that read colours can do for these backbones: Pillow's resize.

    None unless all of them want the same, in full precision, on a CPU; a backbone that is given
    tiles of its size resizes no more.
    """
    wanted = {(each.transform, each.dtype, each.device.type) for each in backbones}
    if len(wanted) != 1:
        return None
    transform, dtype, device = wanted.pop()
    if device != "cpu" or dtype != torch.float32:
        return None
    return lambda pixels: transform.resized(torch.from_numpy(pixels)).numpy()


def load_backbone(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "auto",
    engine: str = "torch",
    offline: bool = False,
) -> Backbone:
    """Build a backbone and give it weights.

    Args:
        name: a registered name, or one with an open prefix; see `find_card`.
        weights: a file, a folder, or ``random:SEED``; None looks in the caches, then on the
            network. Random weights are used if they are asked for, and never otherwise.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` (float32 on a CPU, bfloat16 on CUDA), ``fp32``, ``bf16`` or ``fp16``.
        engine: ``torch``, or ``openvino`` for float32 and bfloat16 on a CPU.
        offline: no internet socket is opened.

    Raises:
        InputError: a name, device, precision, engine or seed that does not exist, or do not go
            together.
        WeightsError: a file that is damaged, or of another architecture.
        UnavailableError: weights, a device or an engine that this machine cannot reach.
    """
    refuse_engine(engine, device, precision)
    place = find_device(device)
    dtype = find_dtype(precision, place)
    card = find_card(name)
    seed = random_seed(weights)
    if seed is not None:
        network = _built(card, _described(card, None, offline=offline), seed=seed)
        record = WeightsRecord(f"random:{seed}", None, None, _architecture(network))
        return _ready(network, record, engine, place, dtype)
    file = _file(card, weights, offline=offline)
    network = _built(card, _described(card, file, offline=offline))
    return _ready(network, _loaded(network, file), engine, place, dtype)


def _file(card: Card, weights: str | Path | None, *, offline: bool) -> WeightsFile:
    if weights is not None:
        return given_weights(Path(weights))
    if card.scheme == "local-dir":
        return given_weights(Path(card.reference))
    repository, url = published(card)
    if repository:
        return fetch_from_hub(card, repository, offline=offline)
    if url:
        folder = Path(torch.hub.get_dir()) / "checkpoints"  # under TORCH_HOME
        return fetch_from_url(card, url, folder, offline=offline)
    raise UnavailableError(f"{card.name}: no weights are published; give --weights FILE")


def _described(card: Card, file: WeightsFile | None, *, offline: bool) -> Path | None:
    """The folder with the model's own description, for a card that leaves it to the hub."""
    if card.scheme != "hf-hub" or card.architecture or card.builder:
        return None
    if file and file.config.is_file():
        return file.path.parent
    return fetch_from_hub(card, card.reference, [CONFIG], offline=offline).path.parent


def _built(card: Card, folder: Path | None, *, seed: int = 0) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(card, folder)


def _loaded(network: Network, file: WeightsFile) -> WeightsRecord:
    what = f"{file.path}: not weights of {network.card.name}"
    load_weights(network.module, read_weights(file.path), what=what, heads=network.heads)
    digest = sha256_of(file.path)
    return WeightsRecord(file.source, digest, file.revision, _architecture(network))


def _architecture(network: Network) -> str:
    settings: dict[str, Any] = getattr(network.module, "pretrained_cfg", {})
    return str(settings.get("architecture", network.card.reference))


def _ready(
    network: Network, record: WeightsRecord, engine: str, device: torch.device, dtype: torch.dtype
) -> Backbone:
    network.cut()
    module = network.module.eval().requires_grad_(False)
    module = module.to(device).to(memory_format=torch.channels_last)
    card = replace(network.card, revision=record.revision or network.card.revision)
    transform = _transform(card)
    if engine == "openvino":
        share = openvino.Share(computing_cores(), lanes_of(device, dtype))
        module = openvino.compiled(module, card, record.identity, dtype, share)
    elif device.type == "cpu":
        module = quickened(module, transform.px, dtype)
    return Backbone(card, module, _width(card), record, transform, device, dtype)


def _width(card: Card) -> int:
    if card.width is None:
        raise InputError(f"{card.name}: its card says no width")
    return card.width


def _transform(card: Card) -> TileTransform:
    if not (card.px and card.mean and card.std and card.interpolation):
        raise InputError(f"{card.name}: its card lacks px, mean, std or interpolation")
    return TileTransform(card.px, card.mean, card.std, card.interpolation)
