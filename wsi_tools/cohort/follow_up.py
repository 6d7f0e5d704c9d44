"""The follow-up of a cohort at a glance, to be looked at before anything is trained."""

import math
from dataclasses import dataclass
from statistics import median

from wsi_tools.cohort.patients import Cohort
from wsi_tools.cohort.targets import FollowUp

__all__ = ["FollowUpSummary", "summarize"]


@dataclass(frozen=True)
class FollowUpSummary:
    """Patients with and without the event; a median of nobody is NaN."""

    events: int
    censored: int
    median_event_time: float
    median_censored_time: float


def summarize(cohort: Cohort) -> FollowUpSummary:
    """Count events and censored patients, with the median time of each.

    A coding that is the wrong way round shows here: more events than a clinician would expect,
    and events later than the censored.
    """
    times: dict[bool, list[float]] = {True: [], False: []}
    for patient in cohort.patients:
        if isinstance(value := patient.value, FollowUp):
            times[value.event].append(value.time)
    seen, lost = times[True], times[False]
    return FollowUpSummary(len(seen), len(lost), _median(seen), _median(lost))


def _median(times: list[float]) -> float:
    return median(times) if times else math.nan
