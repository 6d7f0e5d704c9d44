"""One synthetic cohort, divided and learnt from by the command line as anyone would."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_tools.cohort import Cohort, Survival, read_cohort
from wsi_tools.cohort.events import EventCoding

__all__ = ["FULL", "MODELS", "TOY", "Size", "Trial"]

ROOT = Path(__file__).parents[2]
CLI, MAKER = ROOT / "cli.py", ROOT / "sample_data" / "make_multiplex_cohort.py"
FOLLOW_UP = ("--task", "survival", "--time", "os_months", "--event", "died=1")
MODELS: Mapping[str, Sequence[str]] = {
    "fluoroformer": ("--model", "fluoroformer"),
    "mean + gated-abmil": ("--model", "gated-abmil", "--channel-fusion", "mean"),
}
RECIPE = ("--set", "hidden_dim=32", "--lr", "2e-3", "--patience", "0", "--bins", "4")


@dataclass(frozen=True)
class Size:
    """How large the cohort is, how long it is learnt from, and how often markers are permuted."""

    patients: int
    tiles: int
    folds: int
    epochs: int
    draws: int

    def __str__(self) -> str:
        return (
            f"{self.patients} slides of {self.tiles} tiles, {self.folds} folds, "
            f"{self.epochs} epochs, {self.draws} permutations"
        )


FULL = Size(patients=160, tiles=64, folds=5, epochs=20, draws=5)
TOY = Size(patients=24, tiles=6, folds=2, epochs=1, draws=1)


@dataclass(frozen=True)
class Trial:
    """One seed: a cohort, its split, and the runs of both models.

    Attributes:
        folder: where everything goes.
        seed: of the cohort, the split and the weights.
        size: of the cohort and the training.
    """

    folder: Path
    seed: int
    size: Size

    @property
    def project(self) -> Path:
        """The stores."""
        return self.folder / "proj"

    def run(self, name: str) -> Path:
        """The run of a model."""
        return self.folder / name.replace(" ", "")

    @property
    def table(self) -> Path:
        """The patients."""
        return self.folder / "cohort.csv"

    @property
    def splits(self) -> Path:
        """Who trains, validates and tests."""
        return self.folder / "splits.csv"

    def done(self) -> "Trial":
        """Make the cohort, divide it and train both models."""
        size, seed = self.size, ("--seed", str(self.seed))
        cohort = ("--patients", str(size.patients), "--tiles", str(size.tiles))
        _call(MAKER, self.folder, *cohort, *seed)
        divide = ("--folds", str(size.folds), "-o", self.splits)
        _call(CLI, "splits", self.table, *FOLLOW_UP, *divide, *seed)
        learn = (*FOLLOW_UP, "--splits", self.splits, *RECIPE, "--epochs", str(size.epochs), *seed)
        for name, model in MODELS.items():
            _call(CLI, "train", self.project, self.table, *learn, *model, "-o", self.run(name))
        return self

    def cohort(self) -> Cohort:
        """The patients with their follow-ups."""
        target = Survival("os_months", EventCoding("died", "1"))
        return read_cohort(self.table, target=target)

    def at_risk(self) -> dict[str, float]:
        """By patient, the share of tiles at risk: what the log-hazard was made from."""
        with self.table.open(newline="") as stream:
            return {row["patient_id"]: float(row["at_risk"]) for row in csv.DictReader(stream)}


def _call(script: Path, *arguments: str | Path) -> None:
    """Run a script in silence, on one thread.

    Raises:
        CalledProcessError: it failed; what it said is shown.
    """
    own = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
