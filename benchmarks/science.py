"""Train the models on synthetic tasks of known truth, and write down what shows and what does not.

    python benchmarks/science.py [--only a,b] [--seeds 5] [--out docs/pages/science.md]

Seeds are 0, 1, 2, ...; settings were chosen on seeds from 100 on.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from science_bench import key_tiles, marker_interplay, position, record, stability
from science_bench.table import figure_table, target_table, written
from science_bench.task import Figures, Task

TASKS: dict[str, Task] = {
    "a": key_tiles.TASK,
    "b": position.TASK,
    "c": marker_interplay.TASK,
    "d": record.TASK,
    "e": stability.TASK,
}


@dataclass(frozen=True)
class Run:
    """What one seed of one task found, and the processor time it took."""

    letter: str
    seed: int
    figures: Figures
    seconds: float


def run(letter: str, seed: int) -> Run:
    """One seed of one task at its full size, on one thread."""
    torch.set_num_threads(1)
    task, started = TASKS[letter], time.process_time()
    return Run(letter, seed, task.run(seed, task.full), time.process_time() - started)


def report(letter: str, runs: Sequence[Run]) -> str:
    """The tables of a task."""
    task, figures = TASKS[letter], {found.seed: found.figures for found in runs}
    minutes = sum(found.seconds for found in runs) / 60
    seeds = f"Seeds {min(figures)} to {max(figures)}; {task.full}; {minutes:.1f} core-minutes."
    return "\n\n".join((figure_table(figures), target_table(task, figures), seeds))


def main() -> None:
    """Run what was asked for, print it, and write it into the page."""
    asked = _arguments()
    work = [(letter, seed) for letter in asked.only for seed in range(asked.seeds)]
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(run, *zip(*work, strict=True)))
    for letter in asked.only:
        text = report(letter, [found for found in runs if found.letter == letter])
        print(f"## {TASKS[letter].title}\n\n{text}\n")
        if asked.out:
            written(asked.out, letter, text)
    print(f"{sum(found.seconds for found in runs) / 60:.1f} core-minutes")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, help="page to write the tables into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
