"""The folder of an evaluation: metrics, summary, groups, comparison, curves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

import numpy as np

from wsi_tools.evaluation.joining import Joined
from wsi_tools.metrics import (
    Estimate,
    FollowUpTerms,
    PatientDraws,
    Rows,
    SurvivalRows,
    by_group,
    differences,
    estimates,
    log_rank_lines,
    metrics_for,
    summary,
    write_estimates,
)
from wsi_tools.metrics.curves import curves
from wsi_tools.metrics.table import write_csv

__all__ = ["Question", "evaluated", "write_evaluation"]

HEADER = tuple(field.name for field in fields(Estimate))


@dataclass(frozen=True)
class Question:
    """What is asked of joined predictions.

    Attributes:
        draws: of patients, for the intervals.
        terms: for follow-ups.
        by: columns of the cohort whose groups are evaluated on their own.
        against: the rows of another run, to be compared with.
    """

    draws: PatientDraws = field(default_factory=PatientDraws)
    terms: FollowUpTerms = field(default_factory=FollowUpTerms)
    by: Sequence[str] = ()
    against: Rows | None = None


def evaluated(rows: Rows, draws: PatientDraws, terms: FollowUpTerms) -> list[Estimate]:
    """Every line of `metrics.csv`."""
    lines = estimates(rows, metrics_for(rows, terms), draws)
    if isinstance(rows, SurvivalRows):
        lines += log_rank_lines(rows, terms)
    return lines


def write_evaluation(out: Path, joined: Joined, question: Question) -> list[Path]:
    """Write every table that the question asks for; the folder is made.

    Returns:
        their paths.

    Raises:
        InputError: a column of groups that the cohort does not have.
        DataError: nobody is in both runs.
    """
    groups = {column: joined.groups(column) for column in question.by}
    out.mkdir(parents=True, exist_ok=True)
    table = evaluated(joined.rows, question.draws, question.terms)
    write_estimates(out / "metrics.csv", table)
    written = [out / "metrics.csv", _write_summary(out, table, joined.seeds)]
    metrics = metrics_for(joined.rows, question.terms)
    for column, names in groups.items():
        lines = by_group(joined.rows, names, metrics, question.draws)
        path = out / f"metrics_by_{column}.csv"
        write_csv(path, (column, *HEADER), [(name, *astuple(line)) for name, line in lines])
        written.append(path)
    if question.against is not None:
        compared = differences(joined.rows, question.against, metrics, question.draws)
        write_estimates(out / "comparison.csv", compared)
        written.append(out / "comparison.csv")
    return written + list(_write_curves(out, joined.rows, question.terms))


def _write_summary(out: Path, table: Sequence[Estimate], seeds: Mapping[str, str]) -> Path:
    told = {name: _finite(values) for name, values in summary(table, seeds).items()}
    path = out / "summary.json"
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return path


def _write_curves(out: Path, rows: Rows, terms: FollowUpTerms) -> Iterator[Path]:
    for curve in curves(rows, terms):
        if curve.points:
            path = out / f"{curve.name}.csv"
            write_csv(path, curve.columns, curve.points)
            yield path


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    return {name: None if np.isnan(value) else value for name, value in values.items()}
