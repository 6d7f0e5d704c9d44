"""A run as its folder tells it: request, split, models, epochs, metrics."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_tools.checkpoint import JSON_NAME, Checkpoint
from wsi_tools.errors import DataError
from wsi_tools.metrics.table import Estimate, read_estimates
from wsi_tools.splits import Splits, read_splits
from wsi_tools.training import trained_folders
from wsi_tools.training.history import Epoch

__all__ = ["RunRecord", "Training", "read_run"]


@dataclass(frozen=True)
class Training:
    """One trained model of a run.

    Attributes:
        name: of its fold, as the tables of metrics have it.
        folder: where it is.
        checkpoint: the model, checked against its digests.
        digests: SHA-256 of ``weights`` and of ``model.json`` (``digest``).
        libraries: the versions that trained it.
        epochs: what happened in each.
    """

    name: str
    folder: Path
    checkpoint: Checkpoint
    digests: Mapping[str, str]
    libraries: Mapping[str, str]
    epochs: tuple[Epoch, ...]

    @property
    def place(self) -> tuple[int, int]:
        """Repeat and fold of the split."""
        return self.checkpoint.origin.repeat, self.checkpoint.origin.fold

    @property
    def parameters(self) -> int:
        """How many numbers were learnt."""
        return sum(each.numel() for each in self.checkpoint.weights.values())


@dataclass(frozen=True)
class RunRecord:
    """A run whose folds have all ended.

    Attributes:
        path: its folder.
        request: what the numbers depend on.
        made_by: version, command and libraries.
        toml: the command, as ``--config`` reads it.
        splits: who trained, validated and was tested.
        trainings: one per fold, repeat and seed.
        estimates: the lines of ``metrics.csv``.
        summary: of ``summary.json``: per metric, its folds, mean, spread and pooled value.
    """

    path: Path
    request: Mapping[str, Any]
    made_by: Mapping[str, Any]
    toml: str
    splits: Splits
    trainings: tuple[Training, ...]
    estimates: tuple[Estimate, ...]
    summary: Mapping[str, Mapping[str, float | None]]

    @property
    def options(self) -> Mapping[str, Any]:
        """What was typed, and the defaults."""
        found: Mapping[str, Any] = self.made_by["command"].get("options", {})
        return found

    @property
    def kind(self) -> str:
        """What kind of target it learnt."""
        return str(self.request["target"]["kind"])

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all its models: two runs with the same are the same."""
        digests = "".join(each.digests["digest"] for each in self.trainings)
        return hashlib.sha256(digests.encode()).hexdigest()

    def training(self, fold: str) -> Training:
        """The training of a fold's name."""
        return next(each for each in self.trainings if each.name == fold)


def read_run(path: Path) -> RunRecord:
    """Read a run.

    Raises:
        DataError: it is none, not all of its folds have ended, or a file is damaged.
    """
    folders = trained_folders(path)
    if not (path / "summary.json").is_file():
        raise DataError(
            f"{path}: no summary.json there; name the folder of a run whose folds have all ended, "
            "or run its wsitools train again"
        )
    try:
        record = json.loads((path / "run.json").read_text())
        summary = json.loads((path / "summary.json").read_text())
        return RunRecord(
            path,
            record["request"],
            record["made_by"],
            (path / "run.toml").read_text(),
            read_splits(path / "splits.csv"),
            tuple(_training(path, folder) for folder in folders),
            tuple(read_estimates(path / "metrics.csv")),
            summary["metrics"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: torn, or no run of wsitools train ({error}); train it again"
        ) from None


def _training(run: Path, folder: Path) -> Training:
    record = json.loads((folder / JSON_NAME).read_text())
    inside = folder.relative_to(run).as_posix()
    return Training(
        inside if "/" in inside else inside.removeprefix("fold-"),
        folder,
        Checkpoint.load(folder),
        {name: record[name] for name in ("weights", "digest")},
        record["libraries"],
        tuple(_epochs(folder / "history.csv")),
    )


def _epochs(path: Path) -> Iterator[Epoch]:
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            number, lr, train, *of_validation = row.values()
            val, monitored = (float(text) if text else None for text in of_validation)
            yield Epoch(int(number), float(lr), float(train), val, monitored)
