"""How many tiles are computed on at a time: in a batch, and in how many batches side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from math import inf

import torch

from wsi_tools.embedding.backbones import Backbone
from wsi_tools.execution import computing_cores

__all__ = ["Pace", "fitting"]

CPU_BATCH = 8  # larger ones lose their gain to page faults
GPU_BATCH = 256  # a large transformer fills any GPU with fewer
PROBED = 8  # tiles whose maps are measured
SHARE = 0.8  # of the free memory; the rest is the allocator's, and other networks'

Begin = Callable[[int], None]


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
    begin: Begin

    @classmethod
    def of(cls, backbones: Sequence[Backbone], tile_px: int, batch: int | None = None) -> "Pace":
        """What suits these backbones; to be made once, and used for slide after slide.

        Args:
            backbones: on one device.
            tile_px: side of the tiles as they are read.
            batch: kept if it is given.
        """
        device, lanes = backbones[0].device, min(each.lanes for each in backbones)
        if device.type == "cpu":
            return cls(batch or CPU_BATCH, lanes, partial(_begin_on_cores, computing_cores()))
        torch.cuda.empty_cache()  # what is cached for others counts as taken
        fits = min(_fitting_batch(each, tile_px, lanes) for each in backbones)
        return cls(batch or fits, lanes, _beginning_on(device, lanes))


def _begin_on_cores(threads: int, lanes: int) -> None:
    """Settle a lane on its share of the cores; torch gives later threads as many."""
    torch.set_num_threads(max(1, threads // lanes))


def _beginning_on(device: torch.device, lanes: int) -> Begin:
    """Settle each lane on a stream of its own: memory that one has freed is for its stream alone.

    The weights, and what a network keeps of its first pass, lie on the default stream by now.
    """
    torch.cuda.default_stream(device).synchronize()
    streams = [torch.cuda.Stream(device) for _ in range(lanes)]  # type: ignore[no-untyped-call] # torch has no hint for it
    turns = cycle(streams)
    return lambda _: torch.cuda.set_stream(next(turns))


def _fitting_batch(backbone: Backbone, tile_px: int, lanes: int) -> int:
    each = _bytes_of_a_tile(backbone, tile_px)
    free, _ = torch.cuda.mem_get_info(backbone.device)
    return fitting(free, each, lanes)


def _bytes_of_a_tile(backbone: Backbone, px: int) -> float:
    """What a tile takes of a GPU's memory at work; infinite where not even a few fit."""
    device = backbone.device
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
