"""Learn survival from the interplay of markers by the command line, and see what the model needs.

    python benchmarks/multiplex_survival.py [--seeds 5] [--out docs/pages/multiplex.md]

Cohorts are those of sample_data/make_multiplex_cohort.py with seeds 0, 1, 2, ...; settings were
chosen on seeds from 100 on.
"""

import argparse
import resource
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from multiplex_bench.permutation import known, said, stacked
from multiplex_bench.trial import FULL, MODELS, TOY, Size, Trial
from science_bench.table import markdown, written
from science_bench.task import Target

from wsi_tools.metrics import Estimate, PatientDraws, SurvivalRows, differences, metrics_for
from wsi_tools.metrics.table import POOLED, estimates

MARKERS = ("A", "B", "C", "D", "E")
INVOLVED, BYSTANDER = "A to D, mean", "E"
ORACLE, (MODEL, BASELINE) = "oracle", MODELS
CONCORDANCE, LOSS = "C within folds", "C lost"
TARGETS = (
    Target(MODEL, CONCORDANCE, low=0.78),
    Target(BASELINE, CONCORDANCE, high=0.60),
    Target(INVOLVED, LOSS, low=0.05),
    Target(BYSTANDER, LOSS, low=-0.02, high=0.02),
)


@dataclass(frozen=True)
class Comparison:
    """The model's test slides as they are, and with a marker permuted; folds match."""

    plain: SurvivalRows
    permuted: SurvivalRows


@dataclass(frozen=True)
class Found:
    """What one seed found.

    Attributes:
        risks: by who tells them.
        permuted: by marker, and for all that are involved.
    """

    risks: Mapping[str, SurvivalRows]
    permuted: Mapping[str, Comparison]


def run(seed: int, size: Size, folder: Path) -> Found:
    """Make a cohort, train both models on it, and ask them of their test slides."""
    trial = Trial(folder, seed, size).done()
    risks = {name: said(trial, trial.run(name), [None], 1)[None] for name in MODELS}
    read = said(trial, trial.run(MODEL), [None, *range(len(MARKERS))], size.draws)
    compared = {
        name: Comparison(_apart(read[None], name), _apart(read[place], name))
        for place, name in enumerate(MARKERS)
    }
    involved = [compared[name] for name in MARKERS if name != BYSTANDER]
    together = Comparison(
        stacked([each.plain for each in involved]), stacked([each.permuted for each in involved])
    )
    return Found({ORACLE: known(trial)} | risks, compared | {INVOLVED: together})


def _apart(rows: SurvivalRows, name: str) -> SurvivalRows:
    """The rows in folds of another name."""
    return replace(rows, fold=np.char.add(rows.fold, f"/{name}"))


def figures(found: Sequence[Found]) -> dict[tuple[str, str], Estimate]:
    """By row and measure, the figure of all seeds' patients together."""
    rows = {name: stacked([each.risks[name] for each in found]) for name in found[0].risks}
    told = {(name, CONCORDANCE): _concordance(each) for name, each in rows.items()}
    for name in found[0].permuted:
        pairs = [each.permuted[name] for each in found]
        plain = stacked([each.plain for each in pairs])
        told[name, LOSS] = _lost(plain, stacked([each.permuted for each in pairs]))
    return told


def _concordance(rows: SurvivalRows) -> Estimate:
    """Harrell's C over pairs of one fold, with its bootstrap interval over patients."""
    return _pooled(estimates(rows, metrics_for(rows)[:1], PatientDraws()))


def _lost(plain: SurvivalRows, permuted: SurvivalRows) -> Estimate:
    """How much higher C is on slides as they are; the same draws of patients serve both."""
    return _pooled(differences(plain, permuted, metrics_for(plain)[:1], PatientDraws()))


def _pooled(table: Sequence[Estimate]) -> Estimate:
    return next(line for line in table if line.fold == POOLED)


def report(found: Mapping[int, Found]) -> str:
    """The tables: concordances, what permuting costs, and what should show."""
    together = figures(list(found.values()))
    apart = [figures([each]) for each in found.values()]
    tables = [_table(measure, together, apart) for measure in (CONCORDANCE, LOSS)]
    return "\n\n".join((*tables, _verdicts(together)))


def _table(
    measure: str,
    together: Mapping[tuple[str, str], Estimate],
    apart: Sequence[Mapping[tuple[str, str], Estimate]],
) -> str:
    what = "risk told by" if measure == CONCORDANCE else "marker permuted"
    lines = [
        [
            key[0],
            f"{line.value:.3f} [{line.lo:.3f}, {line.hi:.3f}]",
            ", ".join(f"{each[key].value:.3f}" for each in apart),
        ]
        for key, line in together.items()
        if key[1] == measure
    ]
    return markdown([what, f"{measure} [95 %]", "by seed"], lines)


def _verdicts(together: Mapping[tuple[str, str], Estimate]) -> str:
    def verdict(target: Target) -> str:
        return "met" if target.met(together[target.row, target.measure].value) else "missed"

    return markdown(["target", ""], [[f"{each.row}: {each}", verdict(each)] for each in TARGETS])


def main() -> None:
    """Run the seeds, print the tables, and write them into the page."""
    asked = _arguments()
    size = TOY if asked.toy else FULL
    with tempfile.TemporaryDirectory() as folder:
        found = {seed: run(seed, size, Path(folder, f"{seed}")) for seed in range(asked.seeds)}
    seeds = f"Seeds 0 to {asked.seeds - 1}; {size}; {_core_minutes():.1f} core-minutes."
    text = f"{report(found)}\n\n{seeds}"
    print(text)
    if asked.out:
        written(asked.out, "survival", text)


def _core_minutes() -> float:
    """Of this process and the commands it ran."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) / 60


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="a size that only proves that it runs")
    parser.add_argument("--out", type=Path, help="page to write the tables into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
