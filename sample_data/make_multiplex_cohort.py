"""Make a synthetic multiplex cohort, in which the interplay of markers tells who dies early.

    python sample_data/make_multiplex_cohort.py FOLDER [--patients 160] [--tiles 64] [--seed 0]

Writes ``FOLDER/cohort.csv`` and the project ``FOLDER/proj``, whose stores hold features
``(N, M, D)``. Five markers are on or off in every tile. In a tile *at risk* A and B differ and C
and D agree, in any other tile it is the other way round; E is on or off by itself. No marker alone,
and no mean of the markers, tells the two kinds of tile apart. The log-hazard of a patient is
10 · (f - ½), f the share of tiles at risk. Nothing here is measured on tissue.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from made_stores import COLUMNS, write_store
from numpy.typing import NDArray

from wsi_tools.metrics.concordance import harrell
from wsi_tools.store import Project

__all__ = [
    "FEATURES",
    "MARKERS",
    "Panel",
    "Patient",
    "draw_markers",
    "draw_patients",
    "make_multiplex_cohort",
    "oracle",
    "write_table",
]

MARKERS = ("A", "B", "C", "D", "E")
FEATURES = "synthetic@interplay"
IDENTITY, AMPLITUDE, NOISE = 2.0, 1.5, 0.2  # those of task (c) of benchmarks/science.py
SLOPE, MIDDLE = 10.0, 0.5  # of the log-hazard over the share of tiles at risk
MONTHS = 24.0  # mean time to the event of a patient at the middle
CENSORED = 0.3


@dataclass(frozen=True, eq=False)
class Patient:
    """One synthetic patient with one slide.

    Attributes:
        name: of the patient.
        tiles: ``(N,)`` bool, which tiles of the slide are at risk.
        months: to the event, or to the last that was heard.
        died: whether the event was seen.
    """

    name: str
    tiles: NDArray[np.bool_]
    months: float
    died: bool

    @property
    def slide_id(self) -> str:
        """Of the slide."""
        return f"{self.name}-1"

    @property
    def at_risk(self) -> float:
        """The share of tiles at risk."""
        return float(self.tiles.mean())

    def row(self) -> dict[str, object]:
        """The patient's line of the cohort's table."""
        return {
            "slide_id": self.slide_id,
            "patient_id": self.name,
            "at_risk": f"{self.at_risk:.4f}",
            "os_months": f"{self.months:.4f}",
            "died": int(self.died),
        }


class Panel:
    """What the markers look like: each has an identity, and all share one direction of state.

    Args:
        width: D.
        rng: draws both.
    """

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        self.identities = IDENTITY * _unit(rng.standard_normal((len(MARKERS), width)))
        self.state = _unit(rng.standard_normal(width))

    def show(self, states: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Noisy features ``(N, M, D)`` of ``(N, M)`` states of -1 or 1."""
        noise = NOISE * rng.standard_normal((*states.shape, len(self.state)))
        return self.identities + AMPLITUDE * states[..., None] * self.state + noise


def make_multiplex_cohort(
    folder: Path, *, patients: int = 160, tiles: int = 64, width: int = 32, seed: int = 0
) -> tuple[Path, Path, float]:
    """Write a cohort of patients with one slide each.

    Args:
        folder: where to.
        patients: how many.
        tiles: N of every slide.
        width: D.
        seed: another one gives another cohort.

    Returns:
        the table, the project, and Harrell's C of who knows the share of tiles at risk.
    """
    rng = np.random.default_rng(seed)
    panel, project = Panel(width, rng), Project(folder / "proj")
    known, index = draw_patients(patients, tiles, rng), _places(tiles)
    for patient in known:
        features = panel.show(draw_markers(patient.tiles, rng), rng).astype(np.float16)
        write_store(project, patient.slide_id, index, features, name=FEATURES, markers=MARKERS)
    return write_table(folder / "cohort.csv", known), project.path, oracle(known)


def draw_patients(patients: int, tiles: int, rng: np.random.Generator) -> list[Patient]:
    """Patients whose share of tiles at risk is uniform, 30 % of them censored."""
    censored = rng.permutation(patients) < round(CENSORED * patients)
    drawn = []
    for number in range(patients):
        at_risk = rng.permutation(tiles) < round(rng.uniform() * tiles)  # (N,)
        months = _follow_up(at_risk.mean(), rng, censored=bool(censored[number]))
        drawn.append(Patient(f"P{number:03d}", at_risk, months, died=not censored[number]))
    return drawn


def draw_markers(at_risk: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """States ``(N, M)`` of -1 or 1 of the markers of tiles, of which these are at risk."""
    states = rng.integers(0, 2, (len(at_risk), len(MARKERS))) * 2 - 1
    agree = np.where(at_risk, -1, 1)
    states[:, 1] = agree * states[:, 0]
    states[:, 3] = -agree * states[:, 2]
    return states


def oracle(patients: list[Patient]) -> float:
    """Harrell's C of the share of tiles at risk."""
    time, event, at_risk = (
        np.array([getattr(each, name) for each in patients])
        for name in ("months", "died", "at_risk")
    )
    return float(harrell(time, event, at_risk, np.ones((1, len(patients)))).value[0])


def write_table(path: Path, patients: list[Patient]) -> Path:
    """Write the cohort's table, a row per slide."""
    rows = [patient.row() for patient in patients]
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def _follow_up(at_risk: float, rng: np.random.Generator, *, censored: bool) -> float:
    """Months to the event; the censored are lost before it, at any time equally likely."""
    until_event = float(rng.exponential(MONTHS * np.exp(-SLOPE * (at_risk - MIDDLE))))
    return until_event * rng.uniform() if censored else until_event


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _places(tiles: int) -> NDArray[np.int32]:
    """(N, 2) row and column of the tiles, row-major."""
    return np.stack(np.divmod(np.arange(tiles), COLUMNS), axis=1).astype(np.int32)


def main() -> None:
    """Write the cohort that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make a synthetic multiplex cohort.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=160)
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--width", type=int, default=32, help="of the features of a marker")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    table, project, known = make_multiplex_cohort(given.pop("folder"), **given)
    print(f"{table}\n{project}\noracle C {known:.3f}")


if __name__ == "__main__":
    main()
