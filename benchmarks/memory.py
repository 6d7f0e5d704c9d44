"""Measure what one RoFormerMIL training step adds to the memory of a process, and its time.

    python benchmarks/memory.py [--tiles 10000 20000 40000] [--out docs/pages/science.md]

Every number of tiles gets a process of its own, whose peak before the step is subtracted.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from science_bench.table import markdown, written
from torch.nn import functional

from wsi_tools.mil import Bag, create_model

DIM = 1024
HEADS = 8  # the published number


@dataclass(frozen=True)
class Step:
    """One training step of the published configuration.

    Attributes:
        tiles: N.
        parameters: of the model.
        added_mib: peak resident memory less that of the process with model and bag, MiB.
        seconds: of processor time.
    """

    tiles: int
    parameters: int
    added_mib: float
    seconds: float

    @property
    def kib_per_tile(self) -> float:
        """What a tile costs."""
        return self.added_mib * 1024 / self.tiles

    @property
    def score_matrix_mib(self) -> float:
        """What the N × N scores of all heads would take in float32, if anything held them."""
        return HEADS * self.tiles**2 * 4 / 2**20


def measure(tiles: int) -> Step:
    """Forward, backward and one AdamW step in float32 on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, bag = create_model("roformer", DIM, 2), _square(tiles)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    before, started = _peak_mib(), time.process_time()
    target = torch.tensor(1)
    output = model(bag, target)
    output.total(functional.cross_entropy(output.logits, target)).backward()
    optimiser.step()
    seconds = time.process_time() - started
    parameters = sum(weight.numel() for weight in model.parameters())
    return Step(tiles, parameters, _peak_mib() - before, seconds)


def _square(tiles: int) -> Bag:
    side = round(tiles**0.5)
    steps = torch.arange(tiles)
    return Bag.of_slide(torch.randn(tiles, DIM), torch.stack((steps % side, steps // side), dim=1))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kibibytes on Linux


def table(steps: list[Step]) -> str:
    """The figures, beside what a score matrix would take."""
    rows = [
        [
            f"{step.tiles:,}",
            f"{step.added_mib:,.0f}",
            f"{step.kib_per_tile:.1f}",
            f"{step.score_matrix_mib:,.0f}",
            f"{step.seconds:.0f}",
        ]
        for step in steps
    ]
    header = ["tiles", "added MiB", "KiB per tile", "MiB of N × N scores", "processor seconds"]
    return markdown(header, rows)


def main() -> None:
    """Measure, print, and write into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tiles", type=int, nargs="+", default=[10_000, 20_000, 40_000])
    parser.add_argument("--out", type=Path, help="page to write the table into")
    asked = parser.parse_args()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        steps = list(pool.map(measure, asked.tiles))
    print(table(steps))
    if asked.out:
        written(asked.out, "memory", table(steps))


if __name__ == "__main__":
    main()
