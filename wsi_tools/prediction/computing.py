"""Where and how precisely a model computes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from wsi_tools.errors import InputError, UnavailableError
from wsi_tools.mil import Bag

__all__ = ["GIB", "Computing"]

GIB = 2**30


@dataclass(frozen=True)
class Computing:
    """A device, and the precision on it.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU if there is one.
        precision: ``fp32``, ``bf16`` through autocast, or ``auto``: bf16 on a GPU.

    Raises:
        InputError: another name.
        UnavailableError: no such GPU here.
    """

    device: str = "auto"
    precision: str = "auto"
    place: torch.device = field(init=False)

    def __post_init__(self) -> None:
        has_gpu = torch.cuda.is_available()
        name = ("cuda" if has_gpu else "cpu") if self.device == "auto" else self.device
        kind, _, index = name.partition(":")
        if kind not in ("cpu", "cuda") or not (index.isdecimal() or name == kind):
            raise InputError(f"--device {name}: choose from auto, cpu, cuda, cuda:0, cuda:1, …")
        if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
            raise UnavailableError(
                f"--device {name}: PyTorch sees {torch.cuda.device_count()} GPUs here; "
                "use --device cpu, or mend the driver"
            )
        object.__setattr__(self, "place", torch.device(name))

    @property
    def is_reduced(self) -> bool:
        """Whether products are computed in bfloat16."""
        on_gpu = self.place.type == "cuda"
        return self.precision == "bf16" or (self.precision == "auto" and on_gpu)

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if not self.is_reduced:
            return nullcontext()
        return torch.autocast(self.place.type, torch.bfloat16)

    def placed(self, bag: Bag) -> Bag:
        """A bag as it is stored, on the device."""
        return bag.to(self.place)

    def room_gb(self, budget_gb: float, jobs: int = 1) -> float:
        """How much of a budget in GiB bags may fill there: of a GPU at most half of what is free.

        The other half is for what a step computes; jobs that begin together share both.
        """
        if self.place.type == "cpu":
            return budget_gb
        torch.cuda.empty_cache()  # what an earlier fold has left counts as taken
        free, _ = torch.cuda.mem_get_info(self.place)
        return min(budget_gb, free / 2 / jobs / GIB)

    def take(self, bag: Bag) -> Bag:
        """A bag as a model reads it, on the device.

        Features are widened to float32, unless a model's first product rounds them to bfloat16
        anyway: half-precision ones go there as they are.
        """
        return bag.to(self.place, None if self.is_reduced else torch.float32)
