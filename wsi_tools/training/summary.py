"""A run as a whole: the test predictions of all folds, and what they are worth."""

import csv
import json
from dataclasses import replace
from typing import Any

from wsi_tools.checkpoint import JSON_NAME
from wsi_tools.evaluation import Joined, calling, join, read_predictions, read_references
from wsi_tools.evaluation.folder import evaluated
from wsi_tools.metrics import ClassRows, FollowUpTerms, PatientDraws, summary, write_estimates
from wsi_tools.prediction.table import as_csv
from wsi_tools.store.files import write_atomically
from wsi_tools.training.experiment import Experiment
from wsi_tools.training.folder import PREDICTIONS, RunFolder

__all__ = ["summarise"]


def summarise(run: RunFolder, experiment: Experiment) -> dict[str, Any] | None:
    """Put the folds together once all are there: predictions, metrics, summary.

    Metrics are of test patients alone, per fold and pooled over pairs of the same fold, with
    bootstrap intervals over patients.

    Returns:
        what ``summary.json`` holds; None while a fold is missing.
    """
    if (told := run.summary()) is not None or not all(run.is_done(key) for key in run.keys):
        return told
    write_atomically(run.path / PREDICTIONS, _gathered(run).encode())
    joined, terms = _joined(run, experiment)
    table = evaluated(joined.rows, PatientDraws(seed=min(experiment.seeds)), terms)
    write_estimates(run.path / "metrics.csv", table)
    told = {"metrics": _finite(summary(table, joined.seeds)), "trainings": _trainings(run)}
    write_atomically(run.path / "summary.json", json.dumps(told, indent=1).encode())
    return told


def _gathered(run: RunFolder) -> str:
    """The predictions of all trainings, in the columns that all have."""
    rows: list[dict[str, str]] = []
    for key in run.keys:
        with (run.fold(key) / PREDICTIONS).open(newline="", encoding="utf-8") as stream:
            rows += csv.DictReader(stream)
    shared = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
    return as_csv(shared, [[row[name] for name in shared] for row in rows])


def _joined(run: RunFolder, experiment: Experiment) -> tuple[Joined, FollowUpTerms]:
    """Predictions beside the truth, called at each fold's own threshold."""
    design, known = experiment.design, read_references(run.path)
    joined = join(
        read_predictions(run.path / PREDICTIONS),
        experiment.cohort,
        design.target,
        ordered=design.goal.ordered,
    )
    if isinstance(joined.rows, ClassRows):
        joined = replace(joined, rows=calling(joined.rows, known.thresholds))
    return joined, FollowUpTerms(known.folds, comparable=known.tasks == {"survival-nll"})


def _trainings(run: RunFolder) -> list[dict[str, Any]]:
    records = [json.loads((run.fold(key) / JSON_NAME).read_text()) for key in run.keys]
    kept = ("seed", "repeat", "fold", "epoch", "epochs", "val_loss")
    return [{name: record["origin"][name] for name in kept} for record in records]


def _finite(values: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    return None if values != values else values
