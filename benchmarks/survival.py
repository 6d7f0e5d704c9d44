"""Fit survival models to public tables through bags of one tile, beside lifelines' Cox model.

    python benchmarks/survival.py DIR [--out PAGE]

DIR holds rossi.csv, lung.csv and gbsg2.csv as lifelines ships them.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index
from numpy.typing import NDArray
from science_bench.table import markdown, written

from wsi_tools.checkpoint import Composition
from wsi_tools.cohort import Case, FollowUp
from wsi_tools.mil import Bag
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.reading import Reader
from wsi_tools.tasks import AnyTask, CoxSurvival, DiscreteSurvival
from wsi_tools.training import Recipe
from wsi_tools.training.loop import Learning, Part, fit
from wsi_tools.training.targets import targets_of

TABLES = {"rossi": ("week", "arrest"), "lung": ("time", "status"), "gbsg2": ("time", "cens")}
"""Table -> the columns of time and event; 1 is an event in all three."""

NO_COVARIATES = ("Unnamed: 0", "rownames", "inst")
FOLDS = 5
COX = Recipe(weight_decay=0, patience=0, epochs=60, lr=0.1, precision="fp32")
HAZARDS = replace(COX, epochs=8, lr=0.05, accumulate=32)


@dataclass(frozen=True, eq=False)
class Rows:
    """Patients without a missing cell.

    Attributes:
        columns: ``(n, columns)`` numbers; of k names, k - 1 columns of zeros and ones.
        times: ``(n,)``.
        events: ``(n,)`` bool.
    """

    columns: pd.DataFrame
    times: NDArray[np.float64]
    events: NDArray[np.bool_]

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """One of `TABLES`."""
        time, event = TABLES[name]
        frame = pd.read_csv(folder / f"{name}.csv")
        frame = frame.drop(columns=[column for column in NO_COVARIATES if column in frame])
        frame = pd.get_dummies(frame.dropna(), drop_first=True).astype(float)
        columns = frame.drop(columns=[time, event])
        return cls(columns, frame[time].to_numpy(), (frame[event] == 1).to_numpy())

    def at(self, places: NDArray[np.intp]) -> "Rows":
        """Some of the patients."""
        return Rows(self.columns.iloc[places], self.times[places], self.events[places])

    def scaled_by(self, known: "Rows") -> torch.Tensor:
        """Covariates ``(n, columns)`` float32, standardised by other rows."""
        scaled = (self.columns - known.columns.mean()) / known.columns.std()
        return torch.tensor(scaled.to_numpy(), dtype=torch.float32)

    def index(self, risk: NDArray[np.float64]) -> float:
        """Harrell's C of risks ``(n,)``, by lifelines."""
        return float(concordance_index(self.times, -risk, self.events))

    @property
    def cases(self) -> tuple[Case, ...]:
        """The patients as the loop sees them."""
        seen = zip(self.times.tolist(), self.events.tolist(), strict=True)
        return tuple(
            Case(str(place), str(place), (str(place),), FollowUp(*each))
            for place, each in enumerate(seen)
        )


def cox(rows: Rows) -> Learning:
    """Cox' partial likelihood of all rows at once, to convergence."""
    recipe = replace(COX, accumulate=len(rows.times))
    return learnt(rows, CoxSurvival.of_training(rows.times, rows.events), recipe)


def hazards(rows: Rows) -> Learning:
    """A hazard per time bin."""
    return learnt(rows, DiscreteSurvival.of_training(rows.times, rows.events), HAZARDS)


def learnt(rows: Rows, task: AnyTask, recipe: Recipe) -> Learning:
    """Train ``--model mean`` on bags of one tile."""
    torch.manual_seed(0)
    model = Composition("mean").build(rows.columns.shape[1], task.width)
    learning = Learning(model, task, recipe, Computing("cpu", "fp32"), (0, 0, 0))
    with _reader(rows.scaled_by(rows)) as reader:
        part = _part(rows, reader)
        fit(learning, part, None, keep=lambda _: None, report=lambda *_: None)
    return learning


def risks(learning: Learning, rows: Rows, known: Rows) -> NDArray[np.float64]:
    """The risk ``(n,)`` of rows, by a model of known ones."""
    with _reader(rows.scaled_by(known)) as reader:
        logits = learning.logits(_part(rows, reader))
    return np.array([learning.task.read(each)["risk"] for each in logits])


def lifelines_cox(rows: Rows) -> CoxPHFitter:
    """The reference, fitted to standardised covariates."""
    scaled = pd.DataFrame(rows.scaled_by(rows).double(), columns=rows.columns.columns)
    scaled["time_"], scaled["event_"] = rows.times, rows.events
    return CoxPHFitter().fit(scaled, "time_", "event_")


def folds(rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Training and test rows, five times."""
    place = np.random.default_rng(0).permutation(len(rows.times)) % FOLDS
    for fold in range(FOLDS):
        yield rows.at(np.flatnonzero(place != fold)), rows.at(np.flatnonzero(place == fold))


def on_folds(rows: Rows) -> tuple[float, float]:
    """Mean C over the test folds of lifelines' Cox and of our hazards."""
    found = []
    for train, test in folds(rows):
        frame = pd.DataFrame(test.scaled_by(train).double(), columns=test.columns.columns)
        known = lifelines_cox(train).predict_log_partial_hazard(frame).to_numpy()
        found.append((test.index(known), test.index(risks(hazards(train), test, train))))
    known, ours = np.mean(found, axis=0).tolist()
    return known, ours


def compared(name: str, rows: Rows) -> list[str]:
    """The line of a table."""
    known, ours = lifelines_cox(rows).concordance_index_, rows.index(risks(cox(rows), rows, rows))
    told = [name, str(len(rows.times)), str(int(rows.events.sum()))]
    for reference, found in ((known, ours), on_folds(rows)):
        told += [f"{reference:.4f}", f"{found:.4f}", f"{found - reference:+.4f}"]
    return told


def main() -> None:
    """Fit everything, print it, and write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, metavar="DIR", help="holds the three tables")
    parser.add_argument("--out", type=Path, help="page to write the table into")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    header = ["table", "patients", "events"]
    header += ["lifelines", "Cox", "difference", "lifelines, folds", "hazards, folds", "difference"]
    text = markdown(header, [compared(name, Rows.read(asked.folder, name)) for name in TABLES])
    print(text)
    if asked.out:
        written(asked.out, "survival", text)


def _reader(tiles: torch.Tensor) -> Reader:
    return Reader(lambda case: Bag.of_slide(tiles[int(case.case_id)][None]), cache_gb=1)


def _part(rows: Rows, reader: Reader) -> Part:
    cases = rows.cases
    return Part(cases, targets_of(cases), reader, sizes=(1,) * len(cases))


if __name__ == "__main__":
    main()
