"""Patients of high and of low risk: the log-rank test between them, and their curves."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.censoring import KaplanMeier, kaplan_meier, log_rank_p
from wsi_tools.metrics.rows import SurvivalRows
from wsi_tools.metrics.suites import FollowUpTerms
from wsi_tools.metrics.table import POOLED, Estimate

__all__ = ["DESCRIPTIVE", "group_curves", "log_rank_lines"]

DESCRIPTIVE = "logrank_p_descriptive"


def log_rank_lines(rows: SurvivalRows, terms: FollowUpTerms) -> Iterator[Estimate]:
    """The p between the groups in each fold, and over all folds.

    Over several folds the groups were made by several models whose training parts overlap: that p
    is of no test, and its name says so.
    """
    folds = list(rows.folds())
    for name, at in folds:
        yield _line("logrank_p", name, *_cut(rows.take(at), terms))
    pooled = DESCRIPTIVE if len(folds) > 1 else "logrank_p"
    yield _line(pooled, POOLED, *_cut(rows, terms))


def group_curves(rows: SurvivalRows, terms: FollowUpTerms) -> Iterator[tuple[str, KaplanMeier]]:
    """The curve of each risk group over all folds whose cut is known."""
    known, high = _cut(rows, terms)
    for name, group in (("low", ~high), ("high", high)):
        if group.any():
            yield name, kaplan_meier(known.time[group], known.event[group])


def _cut(rows: SurvivalRows, terms: FollowUpTerms) -> tuple[SurvivalRows, NDArray[np.bool_]]:
    """The rows of folds whose cut is known, and which of them are of high risk."""
    cuts = np.full(len(rows), np.nan)
    for name, at in rows.folds():
        if (reference := terms.of(name)) is not None and reference.cut is not None:
            cuts[at] = reference.cut
    known = ~np.isnan(cuts)
    return rows.take(known), (rows.risk > cuts)[known]


def _line(metric: str, fold: str, rows: SurvivalRows, high: NDArray[np.bool_]) -> Estimate:
    p = log_rank_p(rows.time, rows.event, high) if len(rows) else math.nan
    return Estimate(metric, fold, p, math.nan, math.nan, len(np.unique(rows.patient)))
