"""What became of a run's test patients, beside what the run said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from wsi_tools import cohort as of_cohort
from wsi_tools.cohort import Cohort, Columns, Target, read_cohort
from wsi_tools.errors import DataError
from wsi_tools.evaluation import Joined, calling, join, read_predictions, read_references
from wsi_tools.metrics import ClassRows, FollowUpTerms
from wsi_tools.report.run import RunRecord
from wsi_tools.store.requests import fingerprint
from wsi_tools.training.folder import PREDICTIONS

__all__ = ["Truth", "read_truth"]


@dataclass(frozen=True)
class Truth:
    """The cohort of a run, and its test patients' rows.

    Attributes:
        cohort: slides, patients, and their values.
        joined: predictions beside values.
        terms: of evaluating follow-ups, as the run's folds settled them.
        changed: whether the table says something else than at the time of training.
    """

    cohort: Cohort
    joined: Joined
    terms: FollowUpTerms
    changed: bool


def read_truth(run: RunRecord, table: Path | None = None) -> Truth:
    """Read the cohort that a run was trained on.

    Args:
        run: the run.
        table: where its table is now; by default, where it was.

    Raises:
        DataError: no table there, or it does not fit the run.
        InputError: a column is missing.
    """
    options, known = run.options, read_references(run.path)
    target = _target(run.request["target"])
    cohort = _cohort(options, _place(options, table), target)
    joined = join(
        read_predictions(run.path / PREDICTIONS),
        cohort,
        target,
        ordered=run.request["goal"]["ordered"],
    )
    if isinstance(joined.rows, ClassRows):
        joined = replace(joined, rows=calling(joined.rows, known.thresholds))
    terms = FollowUpTerms(known.folds, comparable=known.tasks == {"survival-nll"})
    return Truth(cohort, joined, terms, _changed(run, cohort))


def _place(options: Mapping[str, Any], table: Path | None) -> Path:
    if table is None and "cohort" not in options:
        raise DataError("the run does not say where its cohort's table is; name it with --cohort")
    return table or Path(options["cohort"])


def _cohort(options: Mapping[str, Any], table: Path, target: Target) -> Cohort:
    columns = Columns(
        options.get("slide_id", "slide_id"),
        options.get("group", "patient_id"),
        options.get("patient_from"),
    )
    return read_cohort(
        table,
        columns,
        target=target,
        slides=Path(options["slides"]) if "slides" in options else None,
        slide_labels=options.get("slide_labels", False),
    )


def _target(asked: Mapping[str, Any]) -> Target:
    """The target as the run was asked for it."""
    values = {name: each for name, each in asked.items() if name != "kind"}
    target: Target = TypeAdapter(getattr(of_cohort, asked["kind"])).validate_python(values)
    return target


def _changed(run: RunRecord, cohort: Cohort) -> bool:
    """Whether neither the table nor its slides with a role are what the run was trained on."""
    with_role = {each.slide_id for each in run.splits.assignments}
    level = run.request["inputs"]["level"]
    return run.request["cohort"] not in {
        fingerprint(
            {"cases": [[c.case_id, c.patient_id, repr(c.value)] for c in each.cases(level)]}
        )
        for each in (cohort, cohort.only(with_role))
    }
