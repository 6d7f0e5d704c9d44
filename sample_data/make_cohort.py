"""Make a synthetic cohort: a table, and stores of random features with a signal planted in them.

    python sample_data/make_cohort.py FOLDER [--patients 60] [--markers 0] [--seed 0]

Writes ``FOLDER/cohort.csv`` and the project ``FOLDER/proj``. Every slide is a small random bag. In
the slides of patients with a *high* grade some neighbouring tiles are shifted along one direction,
the more the larger a patient's ``burden``; higher burdens mean earlier events. Nothing here is
measured on tissue.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from made_stores import COLUMNS, write_store
from numpy.typing import NDArray

from wsi_tools.store import Project


@dataclass(frozen=True)
class Patient:
    """One synthetic patient."""

    name: str
    burden: float
    grade: str
    age: float
    months: float
    died: bool

    def row(self, slide_id: str, site: str) -> dict[str, object]:
        """The patient's line of the cohort's table, for one slide."""
        return {
            "slide_id": slide_id,
            "patient_id": self.name,
            "site": site,
            "grade": self.grade,
            "stage": "I" if self.burden < 0.2 else "II" if self.burden < 0.35 else "III",
            "invasive": int(self.burden > 0.3),
            "burden": f"{self.burden:.4f}",
            "age": f"{self.age:.0f}",
            "os_months": f"{self.months:.2f}",
            "died": int(self.died),
        }


def make_cohort(
    folder: Path, *, patients: int = 60, markers: int = 0, width: int = 16, seed: int = 0
) -> tuple[Path, Path]:
    """Write a cohort; every fourth patient has two slides.

    Args:
        folder: where to.
        patients: how many.
        markers: M of features ``(N, M, D)``; 0 for ``(N, D)``.
        width: D.
        seed: another one gives another cohort.

    Returns:
        the table and the project.
    """
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(width)
    direction /= np.linalg.norm(direction)
    names = tuple(f"marker-{place}" for place in range(markers))
    project, rows = Project(folder / "proj"), []
    for number in range(patients):
        patient = _patient(number, rng)
        for part in range(2 if number % 4 == 0 else 1):
            slide_id = f"{patient.name}-{part + 1}"
            index = _places(rng)
            features = _features(index, patient, direction, markers, rng)
            write_store(project, slide_id, index, features.astype(np.float16), markers=names)
            rows.append(patient.row(slide_id, f"site-{number % 3}"))
    return _write_table(folder / "cohort.csv", rows), project.path


def _patient(number: int, rng: np.random.Generator) -> Patient:
    burden = rng.uniform(0.25, 0.5) if number % 2 else rng.uniform(0.0, 0.1)
    until_event = rng.exponential(60 * np.exp(-5 * burden))
    until_lost = rng.uniform(10, 80)
    return Patient(
        name=f"P{number:03d}",
        burden=burden,
        grade="high" if number % 2 else "low",
        age=rng.normal(60, 10),
        months=min(until_event, until_lost),
        died=bool(until_event < until_lost),
    )


def _places(rng: np.random.Generator) -> NDArray[np.int32]:
    """(N, 2) row and column of the tiles of a slide, row-major: a ragged piece of the lattice."""
    kept = np.flatnonzero(rng.random(6 * COLUMNS) < rng.uniform(0.15, 0.3))
    return np.stack(np.divmod(kept, COLUMNS), axis=1).astype(np.int32)


def _features(
    index: NDArray[np.int32],
    patient: Patient,
    direction: NDArray[np.float64],
    markers: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(N, D) or (N, M, D); the first tiles along x carry the signal (of the first marker)."""
    shape = (len(index), markers, len(direction)) if markers else (len(index), len(direction))
    features = rng.standard_normal(shape)
    sick = np.argsort(index[:, 1], kind="stable")[: round(patient.burden * len(index))]
    if markers:
        features[sick, 0] += 4 * direction
    else:
        features[sick] += 4 * direction
    return features


def _write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def main() -> None:
    """Write the cohort that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make a synthetic cohort.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--markers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    options = {"patients": given.patients, "markers": given.markers, "seed": given.seed}
    table, project = make_cohort(given.folder, **options)
    print(f"{table}\n{project}")


if __name__ == "__main__":
    main()
