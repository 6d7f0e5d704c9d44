"""What a worker process does for each training of a run: train, then predict the test cases."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.execution import Report
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.ensemble import Ensemble
from wsi_tools.prediction.table import as_csv, header_of, rows_of
from wsi_tools.splits import held_out
from wsi_tools.store.disk import naming_the_disk
from wsi_tools.store.files import write_atomically
from wsi_tools.store.leases import lease
from wsi_tools.training.experiment import Experiment, FoldKey
from wsi_tools.training.fold import train_fold
from wsi_tools.training.folder import PREDICTIONS, RunFolder
from wsi_tools.training.recording import STATE_NAME

__all__ = ["Trained", "TrainingWork", "trained"]

PULSE_S = 0.5  # between two signs of life: telling of every step would cost more than small steps


@dataclass(frozen=True)
class Trained:
    """What became of one training."""

    folder: str
    seed: int
    repeat: int
    fold: int
    epoch: int
    epochs: int
    val_loss: float | None


@dataclass(frozen=True)
class TrainingWork:
    """The trainings of an experiment, one by one, each under a lease.

    Attributes:
        experiment: what is trained.
        run: where it goes.
    """

    experiment: Experiment
    run: RunFolder

    def __call__(self, key: FoldKey, report: Report) -> Trained:
        """Train one fold and predict its test cases; what is done already is kept."""
        torch.set_num_threads(self.experiment.design.compute.threads)
        folder = self.run.fold(key)
        with naming_the_disk(self.run.path), lease(self.run.leases, self.run.name(key)):
            if not self.run.is_done(key):
                self._train(key, folder, _Pulse(report))
        return trained(folder)

    def _train(self, key: FoldKey, folder: Path, report: Report) -> None:
        fold = self.experiment.fold(key)
        checkpoint = train_fold(self.experiment.design, fold, key.seed, folder, report)
        report("test", 0, 1)
        table = self._predicted(key, checkpoint)
        write_atomically(folder / PREDICTIONS, table.encode())
        (folder / STATE_NAME).unlink(missing_ok=True)

    def _predicted(self, key: FoldKey, checkpoint: Checkpoint) -> str:
        """The test cases of a fold, in a table."""
        design, cohort = self.experiment.design, self.experiment.cohort
        level = design.inputs.level
        cases = held_out(self.experiment.splits, cohort, key.fold, repeat=key.repeat, level=level)
        model = Ensemble([checkpoint], Computing(design.compute.device, design.recipe.precision))
        header = header_of(model.columns, spread=False, more=self.run.outer)
        if not cases:
            return as_csv(header, [])
        bags = model.bags(design.project, cohort.only({name for c in cases for name in c.slides}))
        more = [getattr(key, name) for name in self.run.outer]
        rows = [
            row
            for each in model.predictions(cases, bags)
            for row in rows_of(each, str(key.fold), more)
        ]
        return as_csv(header, rows)


class _Pulse:
    """A report that is passed on from time to time, and whenever the stage changes."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = ("", 0.0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        told, at = self._last
        now = time.monotonic()
        if stage != told or now - at >= PULSE_S:
            self._last = (stage, now)
            self._report(stage, done, total)


def trained(folder: Path) -> Trained:
    """What became of a training that has ended.

    Raises:
        DataError: its checkpoint is damaged.
    """
    origin = Checkpoint.load(folder).origin
    return Trained(
        folder=str(folder),
        seed=origin.seed,
        repeat=origin.repeat,
        fold=origin.fold,
        epoch=origin.epoch,
        epochs=origin.epochs,
        val_loss=origin.val_loss,
    )
