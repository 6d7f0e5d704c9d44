"""Measure every stage beside what stands next to it, and write down the ratios.

    python benchmarks/run.py [--rows read,segment] [--size full|small|toy] [--peers]
        [--data FOLDER] [--out benchmarks/RESULTS.md] [--json benchmarks/results.json]

Slides are made once and kept in the folder. Every row runs in a process of its own.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from speed.machine import machine
from speed.peers import ROWS as PEERS
from speed.results import Outcome, as_json, page, verdict
from speed.row import Bench, Measured, Row, UnmeasuredError
from speed.rows import ROWS
from speed.sizes import SIZES
from speed.slides import Slides, texture_source

EVERY: Mapping[str, Row] = {**ROWS, **{row.key: row for row in PEERS}}


def measured(key: str, bench: Bench) -> Measured | str:
    """One row, or why it cannot be measured."""
    try:
        return EVERY[key].measure(bench)
    except UnmeasuredError as reason:
        return str(reason)


def outcomes(keys: Sequence[str], bench: Bench) -> Iterator[Outcome]:
    """The rows, one after the other."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for key in keys:
            found = pool.submit(measured, key, bench).result()
            is_found = isinstance(found, Measured)
            yield Outcome(EVERY[key], found if is_found else None, "" if is_found else found)


def told(outcome: Outcome) -> str:
    """A row in a line, while the others run."""
    ratio, goal = outcome.ratio, outcome.row.target
    figure = f"{ratio.median:.2f} (asked {goal:g})" if ratio else outcome.why_not
    return f"{outcome.row.key:18} {verdict(outcome):13} {figure}"


def about(bench: Bench, size: str) -> dict[str, Any]:
    """What the figures depend on beside the code."""
    return {
        "date": date.today().isoformat(),
        "size": size,
        "machine": dict(machine()),
        "texture": bench.slides.texture,
        "tile_bytes": bench.slides.tissue_tile_bytes(bench.size.fine),
    }


def main() -> None:
    """Make the slides, run the rows, print them, and write them where asked."""
    asked = _arguments()
    folder, size = asked.data / asked.size, SIZES[asked.size]
    bench = Bench(folder, size, Slides(folder, size, texture_source()))
    bench.slides.make()
    found = []
    for outcome in outcomes(_keys(asked), bench):
        print(told(outcome), flush=True)
        found.append(outcome)
    facts = about(bench, asked.size)
    if asked.out:
        asked.out.write_text(page(facts, found))
    if asked.json:
        asked.json.write_text(json.dumps(as_json(facts, found), indent=1) + "\n")


def _keys(asked: argparse.Namespace) -> list[str]:
    if asked.rows:
        return list(asked.rows)
    return [*ROWS, *(row.key for row in PEERS if asked.peers)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = ", ".join(EVERY)
    parser.add_argument("--rows", type=_names, help=f"some of: {names}")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--peers", action="store_true", help="and rows beside other packages")
    cache = Path(tempfile.gettempdir()) / "wsitools-benchmarks"
    parser.add_argument("--data", type=Path, default=cache, help="where slides are made and kept")
    parser.add_argument("--out", type=Path, help="page to write")
    parser.add_argument("--json", type=Path, help="file to write every sample to")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(EVERY):
        raise argparse.ArgumentTypeError(f"no rows {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
