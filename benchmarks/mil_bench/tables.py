"""From the outcomes of trainings to Markdown tables."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from science_bench.table import markdown

from mil_bench.contests import CONTESTS, PUBLISHED, Contest
from mil_bench.trials import Outcome, Trial

__all__ = ["Row", "core_minutes", "rows", "set_table", "target_table"]

Outcomes = Mapping[Trial, Outcome]


@dataclass(frozen=True)
class Row:
    """What a contest came to on a set; every repeat has the same number of folds."""

    bag_set: str
    contest: Contest
    repeats: tuple[tuple[Outcome, ...], ...]

    @property
    def accuracy(self) -> float:
        """Mean over all folds of all repeats."""
        return statistics.fmean(each.accuracy for each in self._all)

    @property
    def spread(self) -> float | None:
        """Standard deviation of the repeats' accuracies; None of one."""
        means = [statistics.fmean(each.accuracy for each in repeat) for repeat in self.repeats]
        return statistics.stdev(means) if len(means) > 1 else None

    @property
    def auc(self) -> float:
        """Mean over the folds that have both classes."""
        return statistics.fmean(each.auc for each in self._all if each.auc is not None)

    @property
    def epochs(self) -> float:
        """Median number of epochs to the one that was kept."""
        return statistics.median(each.epoch + 1 for each in self._all)

    @property
    def minutes(self) -> float:
        """Of processor time."""
        return sum(each.seconds for each in self._all) / 60

    @property
    def _all(self) -> list[Outcome]:
        return [outcome for repeat in self.repeats for outcome in repeat]


def rows(bag_set: str, outcomes: Outcomes) -> Iterator[Row]:
    """The contests of a set that have an outcome, in the order of the tables."""
    for contest in CONTESTS:
        repeats: dict[int, list[Outcome]] = {}
        for trial, outcome in outcomes.items():
            if (trial.bag_set, trial.contest) == (bag_set, contest):
                repeats.setdefault(trial.repeat, []).append(outcome)
        if repeats:
            yield Row(bag_set, contest, tuple(tuple(repeat) for repeat in repeats.values()))


def set_table(bag_set: str, outcomes: Outcomes) -> str:
    """Every contest of a set."""
    header = ["model", "protocol", "accuracy", "AUC", "epochs", "trainings", "core-minutes"]
    return markdown(header, [_cells(row) for row in rows(bag_set, outcomes)])


def target_table(outcomes: Outcomes) -> str:
    """The published accuracies, and ours under the paper's protocol."""
    sets = dict.fromkeys(trial.bag_set for trial in outcomes)
    found = [row for bag_set in sets for row in rows(bag_set, outcomes)]
    body = [_verdict(row) for row in found if row.contest.protocol == "paper" and _known(row)]
    return markdown(["set", "model", "published", "ours", "difference", "asked", ""], body)


def core_minutes(outcomes: Outcomes) -> float:
    """The processor time of all trainings."""
    return sum(each.seconds for each in outcomes.values()) / 60


def _known(row: Row) -> bool:
    return (row.bag_set, row.contest.model) in PUBLISHED


def _verdict(row: Row) -> list[str]:
    published = PUBLISHED[row.bag_set, row.contest.model]
    away = row.accuracy - published.accuracy
    figures = f"{published.accuracy:.3f}", f"{row.accuracy:.3f}", f"{away:+.3f}"
    met = "met" if abs(away) <= published.within else "missed"
    return [row.bag_set, row.contest.model, *figures, f"± {published.within:g}", met]


def _cells(row: Row) -> list[str]:
    spread = "" if row.spread is None else f" ± {row.spread:.3f}"
    trainings = sum(map(len, row.repeats))
    figures = f"{row.accuracy:.3f}{spread}", f"{row.auc:.3f}", f"{row.epochs:g}"
    names = [row.contest.model, row.contest.protocol]
    return [*names, *figures, str(trainings), f"{row.minutes:.1f}"]
