"""Survival in discrete time: a hazard per bin, risk, and the curve at the bins' edges."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import torch
from numpy.typing import ArrayLike
from pydantic import ConfigDict
from torch import Tensor

from wsi_tools.errors import InputError
from wsi_tools.mil.survival import negative_log_likelihood, risk, survival, time_bins
from wsi_tools.tasks.follow_up import columns_at, quantiles_of_events
from wsi_tools.tasks.task import Task, row

__all__ = ["CensorInBin", "DiscreteSurvival"]

CensorInBin = Literal["end", "half"]


@dataclass(frozen=True)
class DiscreteSurvival(Task):
    """A logit of the hazard per time bin; a target is a `follow_up`, ``(n, 2)``.

    Risk is minus the sum of the survival curve: a higher risk means an earlier event, on one scale
    for all folds that share their number of bins.

    A patient who was censored inside a bin is credited with surviving all of it (``end``, as in
    Fluoroformer's released code), or half of it on the log scale. With ``half``, a model without
    features arrives at the life table's hazard d / (n - c/2) (Cutler and Ederer, J Chronic Dis
    1958); with ``end`` at d / n, so that under heavy censoring S(t) is told too high.

    Attributes:
        edges: inner edges of the bins, increasing, in the unit of the times; a time on an edge
            falls in the lower bin, and the last bin is open.
        censor_in_bin: what a patient who was censored inside a bin is credited with.

    Raises:
        InputError: no edge, or edges that do not increase.
    """

    edges: tuple[float, ...]
    censor_in_bin: CensorInBin = "half"
    kind: Literal["survival-nll"] = "survival-nll"
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if not self.edges or any(late <= early for early, late in pairwise(self.edges)):
            raise InputError(f"survival: bin edges {self.edges}; at least one, increasing")

    @classmethod
    def of_training(
        cls,
        times: ArrayLike,
        events: ArrayLike,
        *,
        bins: int = 4,
        censor_in_bin: CensorInBin = "half",
    ) -> Self:
        """Cut time at the quantiles of the uncensored training times; equal ones are merged.

        Args:
            times: ``(patients,)`` of the training fold.
            events: ``(patients,)`` whether the event was seen.
            bins: number of bins where no quantiles coincide.
            censor_in_bin: what a patient who was censored inside a bin is credited with.

        Raises:
            InputError: fewer than two bins.
            DataError: no event among them.
        """
        if bins < 2:
            raise InputError(f"survival: --bins {bins}; at least 2 are needed")
        return cls(quantiles_of_events(times, events, bins), censor_in_bin)

    @property
    def width(self) -> int:
        """One logit per bin."""
        return len(self.edges) + 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The risk, and survival at each edge."""
        return columns_at(self.edges)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Minus the log likelihood of the follow-ups."""
        times, censored = target[:, 0].contiguous(), 1 - target[:, 1]
        bins = time_bins(times, times.new_tensor(self.edges))
        share = 1.0 if self.censor_in_bin == "end" else 0.5
        return negative_log_likelihood(logits, bins, censored, censored_share=share).mean()

    def read(self, logits: Tensor) -> dict[str, float]:
        """Minus the sum of the curve as the risk, and the curve at the edges."""
        logits = logits.detach().double()
        curve = survival(logits)[:-1]  # (edges,): the open bin has no end to tell of
        return row(self.columns, torch.cat((risk(logits)[None], curve)))
