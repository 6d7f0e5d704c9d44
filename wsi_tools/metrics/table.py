"""A table of metrics: per fold, their mean, and pooled, each with its interval."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_tools.metrics.bootstrap import PatientDraws, interval
from wsi_tools.metrics.ratio import Array, Ratio
from wsi_tools.metrics.rows import Rows
from wsi_tools.metrics.suites import Metric

__all__ = [
    "MEAN",
    "POOLED",
    "Estimate",
    "by_group",
    "estimates",
    "measure",
    "resampled",
    "summary",
    "write_csv",
    "write_estimates",
]

MEAN, POOLED = "mean", "pooled"


@dataclass(frozen=True)
class Estimate:
    """One line of `metrics.csv`.

    Attributes:
        metric: its name.
        fold: of the fold; ``mean`` of those where the metric is defined; or ``pooled``, where
            pairs of one fold alone are compared.
        value: NaN where undefined.
        lo: lower end of the bootstrap's 95 % interval.
        hi: upper end.
        n_patients: how many it rests on.
        n_pairs: how many pairs of patients it compares; None where it compares none.
    """

    metric: str
    fold: str
    value: float
    lo: float
    hi: float
    n_patients: int
    n_pairs: int | None = None


def estimates(rows: Rows, metrics: Sequence[Metric], draws: PatientDraws) -> list[Estimate]:
    """Every metric on every fold, with intervals from the same draws of patients."""
    plain = np.ones((1, len(rows)))
    point = {metric.name: measure(rows, metric, plain) for metric in metrics}
    drawn = resampled(rows, metrics, draws)
    return [
        Estimate(
            metric,
            fold,
            float(ratio.value[0]),
            *interval(drawn[metric, fold]),
            _behind(rows, found, fold),
            ratio.pairs,
        )
        for metric, found in point.items()
        for fold, ratio in found.items()
    ]


def resampled(
    rows: Rows, metrics: Sequence[Metric], draws: PatientDraws
) -> dict[tuple[str, str], Array]:
    """Values ``(draws,)`` of every metric and fold; the same draws for the same patients."""
    drawn: dict[tuple[str, str], list[Array]] = {}
    for weights in draws.of(rows.patient):
        for metric in metrics:
            for fold, ratio in measure(rows, metric, weights).items():
                drawn.setdefault((metric.name, fold), []).append(ratio.value)
    return {key: np.concatenate(values) for key, values in drawn.items()}


def by_group(
    rows: Rows, groups: NDArray[np.str_], metrics: Sequence[Metric], draws: PatientDraws
) -> list[tuple[str, Estimate]]:
    """The same within each group of rows ``(n,)``, by the group's name."""
    return [
        (str(name), line)
        for name in np.unique(groups)
        for line in estimates(rows.take(groups == name), metrics, draws)
    ]


def summary(table: Iterable[Estimate], seeds: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Per metric: folds, those undefined, mean and sd over folds, and the pooled value.

    The sd over seeds is of each seed's mean over its folds; it says how far training scatters, and
    is no interval.

    Args:
        table: the estimates.
        seeds: the seed of each fold, where a run has several.
    """
    metrics: dict[str, list[Estimate]] = {}
    for line in table:
        metrics.setdefault(line.metric, []).append(line)
    return {name: _summary(lines, seeds) for name, lines in metrics.items()}


def write_estimates(path: Path, table: Iterable[Estimate]) -> None:
    """Write `metrics.csv`: undefined values as ``nan``, no pairs as an empty cell."""
    write_csv(path, [field.name for field in fields(Estimate)], map(astuple, table))


def read_estimates(path: Path) -> list[Estimate]:
    """Read what `write_estimates` wrote."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            Estimate(
                row["metric"],
                row["fold"],
                float(row["value"]),
                float(row["lo"]),
                float(row["hi"]),
                int(row["n_patients"]),
                int(row["n_pairs"]) if row["n_pairs"] else None,
            )
            for row in csv.DictReader(stream)
        ]


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a table; numbers with 6 digits, None as an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(value) for value in line] for line in lines)


def measure(rows: Rows, metric: Metric, weights: Array) -> dict[str, Ratio]:
    """A metric by fold, then its mean over several folds, then pooled where that makes sense."""
    folds = {name: metric.measure(rows.take(at), weights[:, at]) for name, at in rows.folds()}
    found = dict(folds)
    if len(folds) > 1:
        found[MEAN] = _mean(list(folds.values()))
    if metric.pooling == "rows":
        found[POOLED] = metric.measure(rows, weights)
    elif metric.pooling == "folds" or len(folds) == 1:
        first, *others = folds.values()
        found[POOLED] = sum(others, start=first)
    return found


def _behind(rows: Rows, found: Mapping[str, Ratio], fold: str) -> int:
    """Patients behind a value; behind a mean, those of the folds where it is defined."""
    if fold == POOLED:
        return len(np.unique(rows.patient))
    defined = [name for name, ratio in found.items() if not np.isnan(ratio.value[0])]
    return len(np.unique(rows.patient[np.isin(rows.fold, defined if fold == MEAN else [fold])]))


def _mean(folds: Sequence[Ratio]) -> Ratio:
    """Mean over the folds that are defined; it compares all their pairs."""
    values = np.stack([fold.value for fold in folds])  # (folds, draws)
    known = ~np.isnan(values)
    pairs = None if folds[0].pairs is None else sum(fold.pairs or 0 for fold in folds)
    total = np.where(known, values, 0).sum(axis=0)[None]
    return Ratio(total, known.sum(axis=0)[None].astype(np.float64), pairs)


def _summary(lines: Sequence[Estimate], seeds: Mapping[str, str]) -> dict[str, float]:
    folds = {line.fold: line.value for line in lines if line.fold not in (MEAN, POOLED)}
    defined = np.array([value for value in folds.values() if not np.isnan(value)])
    told: dict[str, float] = {"folds": len(folds), "undefined_folds": len(folds) - len(defined)}
    told["mean"] = float(defined.mean()) if len(defined) else np.nan
    if len(defined) > 1:
        told["sd_over_folds"] = float(defined.std(ddof=1))
    if len(set(seeds.values())) > 1:
        told["sd_over_seeds"] = _sd_over_seeds(folds, seeds)
    for line in lines:
        if line.fold == POOLED:
            told |= {POOLED: line.value, "lo": line.lo, "hi": line.hi}
    return told


def _sd_over_seeds(folds: Mapping[str, float], seeds: Mapping[str, str]) -> float:
    by_seed: dict[str, list[float]] = {}
    for name, value in folds.items():
        if not np.isnan(value):
            by_seed.setdefault(seeds[name], []).append(value)
    means = [np.mean(values) for values in by_seed.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else np.nan


def _cell(value: object) -> object:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return "" if value is None else value
