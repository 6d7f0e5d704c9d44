"""What a run found, as JSON with every sample and as a page with one table."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from speed.row import Fact, Measured, Row
from speed.timing import Spread

__all__ = ["Outcome", "as_json", "notes", "page", "verdict"]

Verdict = Literal["stretch", "met", "missed", "wrong", "not measured"]
NOTES = Path(__file__).with_name("notes.toml")
HEADER = (
    "", "beside", "ratio of wall [lowest, highest]", "of CPU", "asked", "stretch", "", "checked",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A row and what it found, or why it found nothing."""

    row: Row
    found: Measured | None
    why_not: str = ""

    @property
    def ratio(self) -> Spread | None:
        """Of the samples that decide."""
        return self.row.ratio(self.found.pairs) if self.found else None


def verdict(outcome: Outcome) -> Verdict:
    """How a row did; a ratio beside a wrong answer does not count."""
    row, ratio = outcome.row, outcome.ratio
    if outcome.found is None or ratio is None:
        return "not measured"
    if not all(fact.holds for fact in outcome.found.facts):
        return "wrong"
    if row.stretch is not None and row.reached(ratio.median, row.stretch):
        return "stretch"
    return "met" if row.reached(ratio.median, row.target) else "missed"


def notes() -> Mapping[str, str]:
    """Why rows miss, by their names."""
    return tomllib.loads(NOTES.read_text())


def as_json(about: Mapping[str, Any], outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Everything, ready to be written."""
    return {**about, "rows": [_record(outcome) for outcome in outcomes]}


def _record(outcome: Outcome) -> dict[str, Any]:
    row, found = outcome.row, outcome.found
    asked = {
        name: getattr(row, name)
        for name in ("key", "stage", "beside", "target", "stretch", "cost", "by")
    }
    if found is None or outcome.ratio is None:
        return {**asked, "verdict": "not measured", "why": outcome.why_not}
    return {
        **asked,
        "verdict": verdict(outcome),
        "ratio": asdict(outcome.ratio),
        **asdict(found),
    }


def page(about: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The page of one run: where, what, and why what missed did."""
    lines = [_line(outcome) for outcome in outcomes]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (HEADER, ["---"] * len(HEADER), *lines))
    return f"{_opening(about)}\n{table}\n\n{_remarks(outcomes)}"


def _opening(about: Mapping[str, Any]) -> str:
    machine = "\n".join(f"- {name}: {value}" for name, value in about["machine"].items())
    return f"""# Results

One run of `python benchmarks/run.py --size {about["size"]}` on {about["date"]};
`docs/pages/speed.md` says how to read it.

{machine}
- slides: tissue {about["texture"]}, {about["tile_bytes"]:,.0f} bytes per JPEG tile of tissue
"""


def _line(outcome: Outcome) -> list[str]:
    row, found, ratio = outcome.row, outcome.found, outcome.ratio
    goals = [_goal(row, row.target), "" if row.stretch is None else _goal(row, row.stretch)]
    if found is None or ratio is None:
        return [f"{row.stage} (`{row.key}`)", row.beside, "", "", *goals, "not measured", ""]
    stage = f"{row.stage}: {found.amount} (`{row.key}`)"
    checked = "; ".join(map(_checked, found.facts))
    cells = [_range(ratio), _cpu(row, found), *goals, verdict(outcome), checked]
    return [stage, row.beside, *cells]


def _goal(row: Row, goal: float) -> str:
    return f"{'≤' if row.cost else '≥'} {goal:g}"


def _range(ratio: Spread) -> str:
    return f"**{_short(ratio.median)}** [{_short(ratio.low)}, {_short(ratio.high)}]"


def _cpu(row: Row, found: Measured) -> str:
    if row.by != "wall":
        return "memory"
    return _short(row.ratio(found.pairs, "cpu").median)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _checked(fact: Fact) -> str:
    name = fact.name if fact.holds else f"**not** {fact.name}"
    return name if fact.value is None else f"{name} {fact.value:.7f}".rstrip("0")


def _remarks(outcomes: Sequence[Outcome]) -> str:
    told = notes()
    remarks = []
    for outcome in outcomes:
        key, found = outcome.row.key, verdict(outcome)
        why = outcome.why_not or told.get(key, "no reason is known yet")
        if found in ("missed", "wrong", "not measured"):
            remarks.append(f"- `{key}`, {found}: {why}.")
        elif outcome.found and outcome.found.detail:
            remarks.append(f"- `{key}`: {outcome.found.detail}.")
    return "\n".join(remarks) + "\n"
