"""How many tiles are computed on at a time: in a batch, and in how many batches side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import torch

from wsi_tools.embedding.backbones import Backbone
from wsi_tools.embedding.devices import cores, lanes_of

__all__ = ["Pace", "begin_lane", "fitting"]

CPU_BATCH = 8  # larger ones lose their gain to page faults
GPU_BATCH = 256  # a large transformer fills any GPU with fewer
PROBED = 8  # tiles whose maps are measured
SHARE = 0.8  # of the free memory; the rest is the allocator's, and other networks'


@dataclass(frozen=True)
class Pace:
    """How backbones go about it together.

    Attributes:
        batch: tiles in a forward pass.
        lanes: threads that compute, each on a batch of its own, if there are so many.
        begin: what each of them does first, given how many there are.
    """

    batch: int
    lanes: int
    begin: Callable[[int], None]

    @classmethod
    def of(cls, backbones: Sequence[Backbone], batch: int | None = None) -> "Pace":
        """What suits these backbones, which are on one device; a batch that is given is kept."""
        device, dtype = backbones[0].device, backbones[0].dtype
        lanes = lanes_of(device, dtype)
        begin = partial(begin_lane, device, cores())
        return cls(batch or min(_batch(each, lanes) for each in backbones), lanes, begin)


def begin_lane(device: torch.device, threads: int, lanes: int) -> None:
    """Settle a thread that will compute: its share of the cores, or a stream of its own.

    Args:
        device: where.
        threads: of all lanes on a CPU; torch gives later threads as many as the last lane has.
        lanes: how many share them.
    """
    if device.type == "cpu":
        torch.set_num_threads(max(1, threads // lanes))
        return
    torch.cuda.default_stream(device).synchronize()  # on which the weights were put there
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch has no hint for it
    torch.cuda.set_stream(stream)


def _batch(backbone: Backbone, lanes: int) -> int:
    if backbone.device.type == "cpu":
        return CPU_BATCH
    each = _bytes_of_a_tile(backbone)
    free, _ = torch.cuda.mem_get_info(backbone.device)
    return fitting(free, each, lanes)


def _bytes_of_a_tile(backbone: Backbone) -> float:
    """What a tile takes of a GPU's memory at work; infinite where not even a few fit."""
    device, px = backbone.device, backbone.transform.px
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        backbone.embed(torch.zeros(PROBED, px, px, 3, dtype=torch.uint8, device=device))
    except torch.OutOfMemoryError:
        return inf
    return (torch.cuda.max_memory_allocated(device) - before) / PROBED


def fitting(free: float, each: float, lanes: int) -> int:
    """The largest power of two of tiles, up to `GPU_BATCH`, that fit; one if not even that does.

    Args:
        free: bytes.
        each: bytes of a tile.
        lanes: batches side by side.
    """
    most = int(SHARE * free / (each * lanes))
    return min(GPU_BATCH, 1 << max(0, most.bit_length() - 1))
