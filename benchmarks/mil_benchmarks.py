"""Cross-validate the models on the sets of bags that the literature shares.

    python benchmarks/mil_benchmarks.py DIR [--jobs 2] [--record FILE] [--out PAGE]

DIR holds a folder per set. Every finished training is written into the record at once, and the same
command goes on after those that are there.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from mil_bench.contests import PUBLISHED, Size
from mil_bench.record import Record
from mil_bench.sets import find_sets
from mil_bench.tables import core_minutes, set_table, target_table
from mil_bench.trials import Outcome, Trial, run, trials
from science_bench.table import written

TOY = Size(folds=2, repeats=1, epochs=2)


def benchmark(places: Mapping[str, Path], record: Record, jobs: int) -> dict[Trial, Outcome]:
    """Run what the record lacks, what has a published figure first; give all outcomes in order."""
    wanted = list(trials(in_order(places), record.size))
    known = record.outcomes()
    missing = [trial for trial in wanted if trial not in known]
    missing.sort(key=lambda trial: (trial.published is None, trial.repeat))
    for trial, outcome in _run(missing, places, record.size, jobs):
        record.add(trial, outcome)
        known[trial] = outcome
        print(f"{len(known)} of {len(wanted)}: {trial} {outcome.accuracy:.3f}", flush=True)
    return {trial: known[trial] for trial in wanted}


def in_order(names: Mapping[str, Path]) -> list[str]:
    """The sets with published figures, then the others."""
    published = dict.fromkeys(bag_set for bag_set, _ in PUBLISHED)
    return [name for name in published if name in names] + [
        name for name in names if name not in published
    ]


def sections(outcomes: Mapping[Trial, Outcome]) -> Iterator[tuple[str, str]]:
    """The text of every section by its name: the targets, each set, the cost."""
    yield "targets", target_table(outcomes)
    for bag_set in dict.fromkeys(trial.bag_set for trial in outcomes):
        yield bag_set, set_table(bag_set, outcomes)
    yield "cost", f"{len(outcomes)} trainings, {core_minutes(outcomes):.0f} core-minutes."


def main() -> None:
    """Run what was asked for, print it, and write it into the page."""
    asked = _arguments()
    record = Record(asked.record, TOY if asked.toy else Size())
    outcomes = benchmark(find_sets(asked.folder), record, asked.jobs)
    for name, text in sections(outcomes):
        print(f"## {name}\n\n{text}\n")
        if asked.out:
            written(asked.out, name, text)


def _run(
    missing: Sequence[Trial], places: Mapping[str, Path], size: Size, jobs: int
) -> Iterator[tuple[Trial, Outcome]]:
    """The outcomes as they come."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        begun = {pool.submit(run, trial, places[trial.bag_set], size): trial for trial in missing}
        for done in as_completed(begun):
            yield begun[done], done.result()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, metavar="DIR", help="holds a folder per set")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--record", type=Path, default=Path("mil_benchmarks.jsonl"))
    parser.add_argument("--toy", action="store_true", help="two folds and two epochs of everything")
    parser.add_argument("--out", type=Path, help="page to write the tables into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
