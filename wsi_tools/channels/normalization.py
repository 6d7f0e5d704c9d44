"""How values of a marker become numbers that a network takes, as a user types it."""

from dataclasses import dataclass
from math import isfinite

from wsi_tools.errors import InputError

__all__ = ["Normalization"]

DEFAULTS: dict[str, tuple[float, ...]] = {
    "dtype": (),
    "fixed": (),
    "percentile": (1.0, 99.0),
    "zscore": (),
    "arcsinh": (5.0,),
    "none": (),
}
USAGE = "dtype, fixed, percentile:LO,HI, zscore, arcsinh:C or none"


@dataclass(frozen=True)
class Normalization:
    """One rule for all markers; background is subtracted before it.

    * ``dtype``: over the largest value of the type (255, 65535); [0, 1].
    * ``fixed``: from the panel's min to its max; clipped to [0, 1].
    * ``percentile:LO,HI``: from one percentile of the tissue to another; clipped to [0, 1].
    * ``zscore``: (x - mean) / standard deviation over the tissue; not bounded.
    * ``arcsinh:C``: arcsinh(x / C) over that of the panel's max or the type's; clipped to [0, 1].
    * ``none``: as they are.

    Attributes:
        method: one of these names.
        numbers: what stands behind the colon.

    Raises:
        InputError: there is no such method, or its numbers make no sense.
    """

    method: str = "dtype"
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in DEFAULTS:
            raise InputError(f"--normalize {self.method} is not known; use {USAGE}")
        if not self.numbers:
            object.__setattr__(self, "numbers", DEFAULTS[self.method])
        if not self._is_sound():
            raise InputError(f"--normalize {self} makes no sense; use {USAGE}")

    def _is_sound(self) -> bool:
        if len(self.numbers) != len(DEFAULTS[self.method]) or not all(map(isfinite, self.numbers)):
            return False
        if self.method == "percentile":
            return 0 <= self.numbers[0] < self.numbers[1] <= 100
        return all(number > 0 for number in self.numbers)

    @classmethod
    def parse(cls, text: str) -> "Normalization":
        """Read what a user typed, such as ``percentile:1,99.5``.

        Raises:
            InputError: it is not understood.
        """
        method, _, numbers = text.partition(":")
        try:
            return cls(method, tuple(map(float, numbers.split(","))) if numbers else ())
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"--normalize {text} is not understood; use {USAGE}") from error

    def __str__(self) -> str:
        numbers = ",".join(f"{number:g}" for number in self.numbers)
        return f"{self.method}:{numbers}" if numbers else self.method

    @property
    def is_fitted(self) -> bool:
        """Whether it needs `Statistics`, of the slide itself or of a cohort."""
        return self.method in ("percentile", "zscore")

    @property
    def is_bounded(self) -> bool:
        """Whether what comes out lies in [0, 1]."""
        return self.method not in ("zscore", "none")

    @property
    def caution(self) -> str:
        """What to know where it is fitted on each slide by itself; empty where it never is."""
        if not self.is_fitted:
            return ""
        return (
            f"--normalize {self} on each slide by itself erases how much of a marker one slide has "
            "more than another; name slides with --normalize-fit to keep it"
        )
