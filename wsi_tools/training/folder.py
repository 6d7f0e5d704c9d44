"""A run on disk: where each fold goes, what request made it, and what may be continued.

    RUN/run.json, run.toml, splits.csv          what was asked for
    RUN/fold-K/model.safetensors, model.json    the model of a fold
    RUN/fold-K/history.csv, predictions.csv     its epochs, and its test cases
    RUN/summary.json, metrics.csv, predictions.csv    all folds, once all are there

Several repeats or seeds put ``repeat-R`` and ``seed-S`` before ``fold-K``.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_tools.checkpoint import JSON_NAME
from wsi_tools.errors import DataError
from wsi_tools.store.files import write_atomically
from wsi_tools.store.records import made_by
from wsi_tools.store.requests import difference
from wsi_tools.training.experiment import Experiment, FoldKey

__all__ = ["PREDICTIONS", "RunFolder", "trained_folders"]

PREDICTIONS = "predictions.csv"
SUMMARIES = ("summary.json", "metrics.csv", PREDICTIONS)
_OUTER = ("seed", "repeat")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and the trainings that belong in it."""

    path: Path
    keys: tuple[FoldKey, ...]

    @classmethod
    def of(cls, path: Path, experiment: Experiment) -> "RunFolder":
        """Where an experiment goes."""
        return cls(path, experiment.keys)

    @property
    def outer(self) -> tuple[str, ...]:
        """What there are several of besides folds: seeds, repeats."""
        return tuple(
            name for name in _OUTER if len({getattr(each, name) for each in self.keys}) > 1
        )

    @property
    def leases(self) -> Path:
        """Where the leases of trainings lie."""
        return self.path / ".leases"

    def name(self, key: FoldKey) -> str:
        """One word for a training."""
        return "-".join(f"{name}{getattr(key, name)}" for name in (*self.outer, "fold"))

    def fold(self, key: FoldKey) -> Path:
        """The folder of one training."""
        outer = (f"{name}-{getattr(key, name)}" for name in self.outer)
        return self.path.joinpath(*outer, f"fold-{key.fold}")

    def is_done(self, key: FoldKey) -> bool:
        """Whether a training has ended: its predictions are written last."""
        return (self.fold(key) / PREDICTIONS).is_file()

    def summary(self) -> dict[str, Any] | None:
        """What the run came to; None before all trainings have ended."""
        path = self.path / "summary.json"
        told: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
        return told

    def claim(
        self,
        experiment: Experiment,
        chosen: Collection[FoldKey],
        *,
        overwrite: bool = False,
        resume: bool = False,
        toml: str = "",
    ) -> None:
        """Make the folder this experiment's, or make sure that it is.

        Args:
            experiment: what is asked for.
            chosen: the trainings that are meant now.
            overwrite: begin those anew; all of them, where another request made the run.
            resume: there must be something to continue.
            toml: the resolved command, as ``--config`` reads it.

        Raises:
            DataError: another request made the run, or there is nothing to resume.
        """
        asked, found = experiment.request(), self._request()
        if resume and found is None:
            raise DataError(f"{self.path}: nothing to resume; leave --resume out to begin")
        changed = difference(asked, found) if found is not None else ""
        if changed and not overwrite:
            raise DataError(
                f"{self.path}: the run there was asked for something else ({changed}); "
                "choose another --out, or add --overwrite"
            )
        if overwrite:
            self._clear(self._folds() if changed else map(self.fold, chosen))
        record = {"request": asked, "made_by": made_by(experiment.command)}
        self.path.mkdir(parents=True, exist_ok=True)
        self._write("splits.csv", experiment.splits.csv())
        self._write("run.toml", toml)
        self._write("run.json", json.dumps(record, indent=1))

    def _request(self) -> Mapping[str, Any] | None:
        path = self.path / "run.json"
        try:
            request: Mapping[str, Any] = json.loads(path.read_text())["request"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{path}: is torn, or no run of ours; choose another --out") from None
        return request

    def _folds(self) -> Iterator[Path]:
        """Every training that is there, of whatever request."""
        for kind in ("seed-*", "repeat-*", "fold-*"):
            yield from self.path.glob(kind)

    def _clear(self, folds: Iterable[Path]) -> None:
        for folder in list(folds):
            shutil.rmtree(folder, ignore_errors=True)
        for name in SUMMARIES:
            (self.path / name).unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode())


def trained_folders(place: Path) -> list[Path]:
    """The folder of every model of a run, or of the one fold that is named.

    Raises:
        DataError: there is none, or a training of the run has not ended.
    """
    if (place / JSON_NAME).is_file():
        return [place]
    folders = sorted(path for path in place.glob("**/fold-*") if path.is_dir())
    if not folders:
        raise DataError(f"{place}: holds no model; name a run of wsitools train, or a fold of one")
    for folder in folders:
        if not (folder / JSON_NAME).is_file():
            raise DataError(f"{folder}: its training has not ended; run wsitools train again")
    return folders
