"""What trained models say of their test slides: as they are, and with a marker permuted."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from multiplex_bench.trial import Trial
from wsi_tools.cohort import Case
from wsi_tools.cohort.bags import Bags
from wsi_tools.metrics import SurvivalRows
from wsi_tools.mil import Bag
from wsi_tools.prediction import Computing, Ensemble
from wsi_tools.prediction.answers import seed_of
from wsi_tools.prediction.parts import random_order
from wsi_tools.splits import held_out, read_splits

__all__ = ["known", "permuted", "said", "stacked"]

Tests = Sequence[tuple[int, tuple[Case, ...]]]
"""The test cases of every fold."""


def permuted(bag: Bag, marker: int | None, seed: Sequence[int]) -> Bag:
    """The bag, one marker's vectors dealt anew among its tiles; None leaves it as it is."""
    if marker is None:
        return bag
    features = bag.features.clone()  # (N, M, D)
    features[:, marker] = features[random_order(len(bag), seed), marker]
    return replace(bag, features=features)


def known(trial: Trial) -> SurvivalRows:
    """Every patient in the fold that tests them; the risk is the true share of tiles at risk."""
    at_risk = trial.at_risk()
    return stacked(
        _rows(trial, fold, 0, cases, [at_risk[case.patient_id] for case in cases])
        for fold, cases in _tests(trial)
    )


def said(
    trial: Trial, run: Path, markers: Sequence[int | None], draws: int
) -> dict[int | None, SurvivalRows]:
    """By permuted marker, what the model of every fold says of the fold's test slides.

    Every permutation is a fold of its own, so that risks are only compared within one.
    """
    told: dict[int | None, list[SurvivalRows]] = defaultdict(list)
    for fold, cases in _tests(trial):
        reading = _Reading.of(trial, run / f"fold-{fold}", cases)
        for marker in markers:
            for draw in range(draws):
                risks = list(reading.risks(marker, draw))
                told[marker].append(_rows(trial, fold, draw, cases, risks))
    return {marker: stacked(rows) for marker, rows in told.items()}


@dataclass(frozen=True)
class _Reading:
    """One model before its test slides."""

    model: Ensemble
    cases: Sequence[Case]
    bags: Mapping[str, Bag]

    @classmethod
    def of(cls, trial: Trial, fold: Path, cases: Sequence[Case]) -> "_Reading":
        model = Ensemble.load([fold], Computing("cpu"))
        slides = {name for case in cases for name in case.slides}
        stored: Bags = model.bags(trial.project, trial.cohort().only(slides))
        return cls(model, cases, {case.case_id: stored.bag(case) for case in cases})

    def risks(self, marker: int | None, draw: int) -> Iterator[float]:
        """The risk of every case, one of its markers permuted."""
        for case in self.cases:
            bag = permuted(self.bags[case.case_id], marker, (draw, *seed_of(case.case_id)))
            yield self.model.prediction(case, bag).values["risk"]


def stacked(several: Iterator[SurvivalRows] | Sequence[SurvivalRows]) -> SurvivalRows:
    """All rows of several tables."""
    parts = list(several)
    arrays = [each.name for each in fields(SurvivalRows) if each.name != "horizons"]
    return SurvivalRows(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    )


def _tests(trial: Trial) -> Tests:
    splits, cohort = read_splits(trial.splits), trial.cohort()
    return [(fold, held_out(splits, cohort, fold)) for fold in range(trial.size.folds)]


def _rows(
    trial: Trial, fold: int, draw: int, cases: Sequence[Case], risks: Sequence[float]
) -> SurvivalRows:
    """Rows of one fold; patients of two seeds are two patients."""
    follow_ups = [case.value for case in cases]
    return SurvivalRows(
        patient=np.array([f"{trial.seed}/{case.patient_id}" for case in cases]),
        fold=np.full(len(cases), f"{trial.seed}/{fold}/{draw}"),
        time=np.array([each.time for each in follow_ups]),
        event=np.array([each.event for each in follow_ups], dtype=bool),
        risk=np.array(risks),
        survival=np.zeros((len(cases), 0)),
    )
