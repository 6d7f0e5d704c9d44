"""From every seed's figures to Markdown tables with intervals over the seeds, and into a page."""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from science_bench.task import Figures, Target, Task

__all__ = ["figure_table", "markdown", "target_table", "written"]

Runs = Mapping[int, Figures]
"""Seed -> its figures."""


def figure_table(runs: Runs) -> str:
    """Rows by measures; a cell is mean ± standard deviation over seeds [lowest, highest]."""
    figures = next(iter(runs.values()))
    rows, measures = (list(dict.fromkeys(key[place] for key in figures)) for place in (0, 1))
    body = [[row, *(_cell(runs, row, measure) for measure in measures)] for row in rows]
    return markdown(["", *measures], body)


def target_table(task: Task, runs: Runs) -> str:
    """What should show, and in how many seeds it does."""
    return markdown(
        ["target", "asked", "seeds that meet it", ""],
        [[f"{target.row}: {target}", *_verdict(target, runs)] for target in task.targets],
    )


def _verdict(target: Target, runs: Runs) -> list[str]:
    met = sum(target.met(found[target.row, target.measure]) for found in runs.values())
    asked = max(1, len(runs) - target.misses)
    return [f"{asked} of {len(runs)}", f"{met} of {len(runs)}", "met" if met >= asked else "missed"]


def _cell(runs: Runs, row: str, measure: str) -> str:
    values = [found[row, measure] for found in runs.values() if (row, measure) in found]
    if not values:
        return ""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    mean, low, high = (_short(value) for value in (statistics.fmean(values), *_ends(values)))
    return mean if low == high else f"{mean} ± {_short(spread)} [{low}, {high}]"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.2g}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(page: Path, name: str, text: str) -> None:
    """Put `text` between the page's comments ``figures NAME`` and ``end NAME``.

    Raises:
        ValueError: the page has no such place.
    """
    opening, closing = f"<!-- figures {name} -->", f"<!-- end {name} -->"
    place = re.compile(re.escape(opening) + ".*?" + re.escape(closing), re.DOTALL)
    filled, found = place.subn(lambda _: f"{opening}\n\n{text}\n\n{closing}", page.read_text())
    if not found:
        raise ValueError(
            f"{page}: no place for {name}; write {opening} and {closing} where it goes"
        )
    page.write_text(filled)
