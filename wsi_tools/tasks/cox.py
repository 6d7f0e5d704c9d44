"""Survival by Cox's partial likelihood: one score per bag, compared over a batch of bags."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from numpy.typing import ArrayLike
from pydantic import ConfigDict
from torch import Tensor

from wsi_tools.errors import InputError
from wsi_tools.tasks.follow_up import columns_at, comparable, quantiles_of_events
from wsi_tools.tasks.task import Task, row

__all__ = ["CoxSurvival", "breslow", "efron"]


@dataclass(frozen=True)
class CoxSurvival(Task):
    """A log hazard ratio per bag; a target is a `follow_up`, ``(n, 2)``.

    The score is the risk: higher means an earlier event. Its origin is each training's own, so
    scores of different folds are not on one scale.

    Attributes:
        horizons: times at which survival is told once there is a baseline.
        event_times: distinct times of events of the training fold, increasing; empty before
            training.
        log_baseline: log of Breslow's cumulative baseline hazard at each of them.

    Raises:
        InputError: event times and baseline of different lengths.
    """

    least_batch: ClassVar[int] = 16

    horizons: tuple[float, ...] = ()
    event_times: tuple[float, ...] = ()
    log_baseline: tuple[float, ...] = ()
    kind: Literal["survival-cox"] = "survival-cox"
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if len(self.event_times) != len(self.log_baseline):
            raise InputError(
                f"survival: {len(self.event_times)} event times and {len(self.log_baseline)} "
                "values of the baseline; one for each is needed"
            )

    @classmethod
    def of_training(cls, times: ArrayLike, events: ArrayLike, *, bins: int = 4) -> Self:
        """Tell survival at the quantiles of the uncensored training times.

        Raises:
            DataError: no event among them.
        """
        return cls(quantiles_of_events(times, events, bins))

    @property
    def width(self) -> int:
        """One log hazard ratio."""
        return 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The risk; survival at the horizons where there is a baseline."""
        return columns_at(self.horizons if self.event_times else ())

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Efron's partial likelihood per event.

        Raises:
            InputError: a batch of one, in which nobody is compared.
        """
        if len(target) < 2:
            raise InputError(
                "cox: a batch of one patient compares nobody; give --accumulate "
                f"{self.least_batch} or more, or use --loss nll"
            )
        return efron(logits[:, 0], target)

    def informs(self, target: Tensor) -> bool:
        """Whether anyone is known to have outlived another."""
        return comparable(target)

    def settled(self, logits: Tensor, target: Tensor) -> Self:
        """Keep the baseline hazard of the training fold."""
        times, log_baseline = breslow(logits[:, 0].detach().double(), target)
        return replace(
            self, event_times=tuple(times.tolist()), log_baseline=tuple(log_baseline.tolist())
        )

    def read(self, logits: Tensor) -> dict[str, float]:
        """The log hazard ratio as the risk, and the survival it means."""
        score = logits.detach().double()  # (1,)
        if not self.event_times:
            return row(self.columns, score)
        return row(self.columns, torch.cat((score, self._survival(score))))

    def _survival(self, score: Tensor) -> Tensor:
        """Survival ``(horizons,)`` at a score ``(1,)``; 1 before the first event."""
        times, horizons = score.new_tensor(self.event_times), score.new_tensor(self.horizons)
        steps = torch.cat((score.new_tensor([-torch.inf]), score.new_tensor(self.log_baseline)))
        past = torch.searchsorted(times, horizons, right=True)
        return torch.exp(-torch.exp(steps[past] + score))


def efron(scores: Tensor, target: Tensor) -> Tensor:
    """Minus the log partial likelihood ``()`` per event, ties by Efron (JASA 1977, eq. 7.2).

    Args:
        scores: ``(n,)`` log hazard ratios.
        target: ``(n, 2)`` follow-ups with an event among them.
    """
    seen = target[:, 1].bool()
    event_scores = scores[seen]  # (d,)
    at_risk, group = _risk_sets(scores, target)
    among_tied = _logsumexp_by(event_scores, group, len(at_risk))  # (times,)
    tied = torch.bincount(group)[group]  # (d,) events at the same time
    gone = _rank_within(group) / tied  # (d,) share of the tied that is out of the risk set
    shrink = torch.log1p(-gone * torch.exp(among_tied - at_risk)[group])
    return (at_risk[group] + shrink - event_scores).mean()


def breslow(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct event times, and the log of the cumulative baseline hazard at each.

    Breslow's estimator (J R Stat Soc B 1972): every time adds its events over the sum of the
    hazard ratios at risk.

    Args:
        scores: ``(n,)`` log hazard ratios.
        target: ``(n, 2)`` follow-ups with an event among them.
    """
    at_risk, group = _risk_sets(scores, target)
    log_events = torch.bincount(group).to(scores.dtype).log()
    times = torch.unique(target[target[:, 1].bool(), 0])
    return times, torch.logcumsumexp(log_events - at_risk, dim=0)


def _risk_sets(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log sum of hazard ratios at risk at each distinct event time, and each event's time index."""
    times, seen = target[:, 0].contiguous(), target[:, 1].bool()
    event_times, group = torch.unique(times[seen], return_inverse=True)  # (times,), (d,)
    order = times.argsort()
    onwards = scores[order].flip(0).logcumsumexp(0).flip(0)  # (n,): from each row to the last
    return onwards[torch.searchsorted(times[order], event_times)], group


def _logsumexp_by(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Log of the sum of exponentials within each group, ``(groups,)``."""
    floor = values.new_full((groups,), -torch.inf)
    peak = floor.scatter_reduce(0, group, values.detach(), "amax")
    total = values.new_zeros(groups).index_add(0, group, torch.exp(values - peak[group]))
    return peak + total.log()


def _rank_within(group: Tensor) -> Tensor:
    """The how-manieth of its group each element is, from 0."""
    order = group.argsort(stable=True)
    counts = torch.bincount(group)
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return rank
