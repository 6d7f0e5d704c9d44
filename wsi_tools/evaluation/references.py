"""What the folds of a run settled before they were tested, from their checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsi_tools.errors import DataError
from wsi_tools.metrics import Reference, SurvivalRows

__all__ = ["RunReferences", "of_other_folds", "read_references"]

NAME = "model.json"


@dataclass(frozen=True)
class RunReferences:
    """The references of a run.

    Attributes:
        folds: by the fold's name; ``*`` for one model that stands for every fold.
        tasks: the kinds of task that its models were trained for.
    """

    folds: Mapping[str, Reference] = field(default_factory=dict)
    tasks: frozenset[str] = frozenset()

    @property
    def thresholds(self) -> dict[str, float]:
        """The operating thresholds of the folds that have one."""
        known = {name: each.threshold for name, each in self.folds.items()}
        return {name: each for name, each in known.items() if each is not None}


def read_references(place: Path) -> RunReferences:
    """Read every ``model.json`` of a run, or that of one fold.

    Raises:
        DataError: there is none, or one is damaged.
    """
    files = [place / NAME] if (place / NAME).is_file() else sorted(place.glob(f"**/fold-*/{NAME}"))
    if not files:
        raise DataError(f"{place}: no {NAME} there; name a run or a fold of wsitools train")
    records = {_name(file, place): _record(file) for file in files}
    return RunReferences(
        {name: Reference.from_json(record["reference"]) for name, record in records.items()},
        frozenset(str(record["task"]["kind"]) for record in records.values()),
    )


def of_other_folds(rows: SurvivalRows) -> dict[str, Reference]:
    """For each of several folds, the follow-ups of the patients it did not test.

    They trained and validated its model, so their censoring is known before its test; nothing is
    known of their risks.
    """
    references: dict[str, Reference] = {}
    for name, at in rows.folds():
        others = ~np.isin(rows.patient, rows.patient[at])
        _, once = np.unique(rows.patient[others], return_index=True)
        time, event = rows.time[others][once], rows.event[others][once]
        if event.any():
            references[name] = Reference.of_training(time, event)
    return references


def _name(file: Path, place: Path) -> str:
    inside = file.parent.relative_to(place).as_posix()
    if inside == ".":
        return "*"
    return inside if "/" in inside else inside.removeprefix("fold-")


def _record(file: Path) -> Mapping[str, Any]:
    try:
        record: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        _ = record["reference"], record["task"]["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{file}: is no checkpoint of wsitools train; take the original") from None
    return record
