"""Make a small cohort of multiplex slides, and the table of what became of the patients.

    python sample_data/make_multiplex_slides.py FOLDER [--patients 24] [--seed 0]

Writes ``FOLDER/slides/*.ome.tiff`` of five channels, DAPI and the markers A to D, in uint16, and
``FOLDER/cohort.csv``. The slides are fields of 64 px squares of cells. In a square *at risk* A and
B differ and C and D agree, in any other it is the other way round, and the share of squares at risk
sets the hazard, as in make_multiplex_cohort.py. Nothing here is measured on tissue.
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
from make_multiplex_cohort import MARKERS, Patient, draw_markers, draw_patients, write_table
from numpy.typing import NDArray

__all__ = ["CHANNELS", "MPP", "SQUARE_PX", "make_multiplex_slides"]

CHANNELS = ("DAPI", *MARKERS[:4])
MPP = 1.0  # so that a cell is 8 µm wide
SQUARES, SQUARE_PX = 3, 64  # along a side
CELLS, CELL_PX = 24, 4.0  # of a square; the radius of one
DARK, NUCLEUS, OFF, ON = 40, 9000, 600, 6000  # of 65535


def make_multiplex_slides(
    folder: Path, *, patients: int = 24, seed: int = 0
) -> tuple[Path, tuple[Path, ...]]:
    """Write slides of 192 × 192 px, one per patient.

    Args:
        folder: where to.
        patients: how many.
        seed: another one gives another cohort.

    Returns:
        the table and the slides.
    """
    rng = np.random.default_rng(seed)
    (folder / "slides").mkdir(parents=True, exist_ok=True)
    known = draw_patients(patients, SQUARES**2, rng)
    slides = tuple(_write_slide(folder / "slides", patient, rng) for patient in known)
    return write_table(folder / "cohort.csv", known), slides


def _write_slide(folder: Path, patient: Patient, rng: np.random.Generator) -> Path:
    path = folder / f"{patient.slide_id}.ome.tiff"
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": list(CHANNELS)},
        "PhysicalSizeX": MPP,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": MPP,
        "PhysicalSizeYUnit": "µm",
    }
    options = {"photometric": "minisblack", "compression": "zlib", "tile": (SQUARE_PX, SQUARE_PX)}
    tifffile.imwrite(path, _planes(patient.tiles, rng), ome=True, metadata=metadata, **options)
    return path


def _planes(at_risk: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint16]:
    """(C, height, width): cells of the squares, in row-major order, on a dark ground."""
    side = SQUARES * SQUARE_PX
    planes = np.full((len(CHANNELS), side, side), DARK, np.uint16)
    levels = np.where(draw_markers(at_risk, rng)[:, : len(CHANNELS) - 1] > 0, ON, OFF)
    for place, brightness in enumerate(np.insert(levels, 0, NUCLEUS, axis=1)):  # (N, C)
        rows, columns = (
            slice(start * SQUARE_PX, (start + 1) * SQUARE_PX) for start in divmod(place, SQUARES)
        )
        planes[:, rows, columns] += (brightness[:, None, None] * _cells(rng)).astype(np.uint16)
    return planes


def _cells(rng: np.random.Generator) -> NDArray[np.float64]:
    """How much of every pixel of a square belongs to a cell, with soft edges."""
    centres = rng.uniform(0, SQUARE_PX, (CELLS, 2))
    pixels = np.stack(np.mgrid[:SQUARE_PX, :SQUARE_PX], axis=-1)[..., None, :]  # (64, 64, 1, 2)
    distance = np.linalg.norm(pixels - centres, axis=-1).min(axis=-1)
    return np.clip(CELL_PX + 0.5 - distance, 0, 1)


def main() -> None:
    """Write the slides that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make a small cohort of multiplex slides.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    table, slides = make_multiplex_slides(given.folder, patients=given.patients, seed=given.seed)
    print("\n".join(map(str, (table, *slides))))


if __name__ == "__main__":
    main()
