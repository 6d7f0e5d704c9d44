"""Two runs on the same patients: how much better one is, and how sure that is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wsi_tools.errors import DataError
from wsi_tools.metrics.bootstrap import PatientDraws, interval
from wsi_tools.metrics.rows import Rows
from wsi_tools.metrics.suites import Metric
from wsi_tools.metrics.table import Estimate, estimates, resampled

__all__ = ["differences"]


def differences(
    ours: Rows, theirs: Rows, metrics: Sequence[Metric], draws: PatientDraws
) -> list[Estimate]:
    """Ours less theirs on the patients of both, each draw of patients serving both (paired).

    Folds of one run alone are left out; means and pooled values are compared in any case.

    Raises:
        DataError: no patient is in both.
    """
    common = np.intersect1d(ours.patient, theirs.patient)
    if not len(common):
        raise DataError("the two runs share no patient; compare runs of the same cohort")
    ours, theirs = (run.take(np.isin(run.patient, common)) for run in (ours, theirs))
    plain = PatientDraws(count=0)
    other = {(line.metric, line.fold): line for line in estimates(theirs, metrics, plain)}
    drawn, other_drawn = (resampled(run, metrics, draws) for run in (ours, theirs))
    return [
        _difference(line, other[key], drawn[key] - other_drawn[key])
        for line in estimates(ours, metrics, plain)
        if (key := (line.metric, line.fold)) in other
    ]


def _difference(ours: Estimate, theirs: Estimate, drawn: np.ndarray) -> Estimate:
    low, high = interval(drawn)
    return replace(ours, value=ours.value - theirs.value, lo=low, hi=high)
