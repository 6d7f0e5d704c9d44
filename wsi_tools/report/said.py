"""What was said of each slide out of fold, and how far it was from the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from wsi_tools.cohort import FollowUp, Value
from wsi_tools.evaluation import read_predictions
from wsi_tools.report.figures import Table, number
from wsi_tools.report.run import RunRecord
from wsi_tools.report.truth import Truth
from wsi_tools.training.folder import PREDICTIONS

__all__ = ["ORDERS", "Said", "evenly", "said_of", "said_table"]

ORDERS = {
    "Classification": "by the probability of the true class",
    "Multilabel": "by the mean probability of what is true of each label",
    "Regression": "by the distance of prediction and truth",
    "Survival": "by predicted risk",
}


@dataclass(frozen=True)
class Said:
    """One slide's test prediction.

    Attributes:
        slide_id: the slide.
        fold: that tested it.
        truth: in words; empty where it is not known.
        text: the prediction in words.
        order: what slides are ordered by; lowest first.
    """

    slide_id: str
    fold: str
    truth: str
    text: str
    order: float


def said_of(run: RunRecord, truth: Truth | None) -> list[Said]:
    """Every slide's first test prediction, in the order of the kind of target."""
    table = read_predictions(run.path / PREDICTIONS)
    values = _values(truth)
    found: dict[str, Said] = {}
    for case, fold, row in zip(table.case, table.fold, table.numbers.tolist(), strict=True):
        columns = dict(zip(table.columns, row, strict=True))
        said = _said(run, str(case), str(fold), columns, values.get(str(case)))
        found.setdefault(said.slide_id, said)
    return sorted(found.values(), key=lambda said: (said.order, said.slide_id))


Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """So many of them, evenly spaced over the order, both ends included."""
    if count >= len(items):
        return list(items)
    step = (len(items) - 1) / max(1, count - 1)
    return [items[round(place * step)] for place in range(count)]


def said_table(said: Sequence[Said]) -> Table:
    """All of them."""
    rows = [(each.slide_id, each.fold, each.truth or "–", each.text) for each in said]
    return Table("Test predictions by slide", ("slide", "fold", "truth", "prediction"), rows)


def _values(truth: Truth | None) -> dict[str, Value | None]:
    if truth is None:
        return {}
    return {slide.slide_id: slide.value for slide in truth.cohort.slides}


def _said(
    run: RunRecord, slide_id: str, fold: str, columns: dict[str, float], value: Value | None
) -> Said:
    prob = {
        name.removeprefix("prob_"): each for name, each in columns.items() if name[:5] == "prob_"
    }
    if run.kind == "Classification":
        likeliest = max(prob, key=lambda name: prob[name])
        text, shown = f"{likeliest} ({number(prob[likeliest], 2)})", ""
        order = prob[likeliest]
        if isinstance(value, int):
            shown = list(prob)[value]
            order = prob[shown]
        return Said(slide_id, fold, shown, text, order)
    if run.kind == "Multilabel":
        return _of_labels(slide_id, fold, prob, value)
    if run.kind == "Survival":
        return _of_follow_up(slide_id, fold, columns["risk"], value)
    return _of_value(slide_id, fold, columns["value"], value)


def _of_labels(slide_id: str, fold: str, prob: dict[str, float], value: Value | None) -> Said:
    text = ", ".join(f"{name} {number(each, 2)}" for name, each in prob.items())
    if not isinstance(value, tuple):
        return Said(slide_id, fold, "", text, sum(prob.values()))
    right = [each if bit else 1 - each for each, bit in zip(prob.values(), value, strict=True)]
    shown = " + ".join(name for name, bit in zip(prob, value, strict=True) if bit) or "none"
    return Said(slide_id, fold, shown, text, sum(right) / len(right))


def _of_follow_up(slide_id: str, fold: str, risk: float, value: Value | None) -> Said:
    shown = ""
    if isinstance(value, FollowUp):
        shown = f"{'event' if value.event else 'censored'} at {value.time:g}"
    return Said(slide_id, fold, shown, f"risk {number(risk)}", -risk)


def _of_value(slide_id: str, fold: str, predicted: float, value: Value | None) -> Said:
    text = number(predicted)
    if not isinstance(value, int | float):
        return Said(slide_id, fold, "", text, predicted)
    return Said(slide_id, fold, f"{value:g}", text, -abs(value - predicted))
