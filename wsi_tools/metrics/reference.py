"""What a training fold settles, as a value that evaluation is given: censoring, tau, cuts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from wsi_tools.errors import DataError
from wsi_tools.metrics.censoring import kaplan_meier
from wsi_tools.metrics.ratio import Array

__all__ = ["Reference"]


@dataclass(frozen=True)
class Reference:
    """What a training fold settles before a test patient is seen.

    Attributes:
        censoring_times: at which training patients were censored, increasing.
        uncensored_share: G, the share not yet censored, from each of them on.
        tau: the last time of an event: pairs whose case is later are not counted in Uno's C.
        quartiles: of the uncensored times, at which the time-dependent AUC is told.
        cut: the median risk, above which a patient is of high risk; None where not known.
        threshold: probability of the positive class from which it is called, chosen on validation
            patients; None for the larger probability.
    """

    censoring_times: tuple[float, ...] = ()
    uncensored_share: tuple[float, ...] = ()
    tau: float = 0.0
    quartiles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cut: float | None = None
    threshold: float | None = None

    @classmethod
    def of_training(
        cls, time: Array, event: NDArray[np.bool_], risk: Array | None = None
    ) -> "Reference":
        """From the follow-ups ``(n,)`` of training patients, and the risks they were given.

        Raises:
            DataError: no event among them.
        """
        if not event.any():
            raise DataError("survival: every training patient is censored; nothing to refer to")
        times, share = _censoring(time, event)
        early, middle, late = np.quantile(time[event], (0.25, 0.5, 0.75)).tolist()
        return cls(
            tuple(times.tolist()),
            tuple(share.tolist()),
            float(time[event].max()),
            (early, middle, late),
            None if risk is None else float(np.median(risk)),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Reference":
        """What `as_json` gave.

        Raises:
            DataError: it is not of that form.
        """
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DataError(f"reference of a training fold: damaged at {place!r}") from None

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def uncensored(self, times: Array) -> Array:
        """G(t-): the chance of not being censored before each of the times."""
        steps = np.array((1.0, *self.uncensored_share))
        return steps[np.searchsorted(np.array(self.censoring_times), times, side="left")]


def _censoring(time: Array, event: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Kaplan-Meier of the censoring; who has the event at a time is no more at risk of it."""
    curve = kaplan_meier(time, ~event)
    with_event = np.bincount(np.searchsorted(curve.time, time), event).astype(np.int64)
    at_risk = np.maximum(curve.at_risk - with_event, 1)  # all have the event: nobody is censored
    share = np.cumprod(1 - curve.events / at_risk)
    censored = curve.events > 0
    return curve.time[censored], share[censored]
