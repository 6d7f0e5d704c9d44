"""One training of the benchmark, from bags in memory to the accuracy on its test fold."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from science_bench.measures import auc

from mil_bench.contests import CONTESTS, PUBLISHED, Contest, Published, Size
from mil_bench.sets import BagSet, read_set
from wsi_tools import cohort, tasks
from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.patients import SlideRow
from wsi_tools.mil import Bag
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.reading import Reader
from wsi_tools.splits import Splits, held_out, make_splits, training_folds
from wsi_tools.splits.making import Plan
from wsi_tools.training import Recipe
from wsi_tools.training.loop import Learning, Part, fit, torch_seed
from wsi_tools.training.targets import targets_of

__all__ = ["Outcome", "Trial", "recipe_of", "run", "trials"]

CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class Trial:
    """One training: which model, how, on which fold of which set."""

    bag_set: str
    model: str
    protocol: str
    repeat: int
    fold: int

    @property
    def contest(self) -> Contest:
        """How it is trained."""
        asked = (self.model, self.protocol)
        return next(each for each in CONTESTS if (each.model, each.protocol) == asked)

    @property
    def published(self) -> Published | None:
        """What the literature reports for it, if anything."""
        known = PUBLISHED.get((self.bag_set, self.model))
        return known if self.protocol == "paper" else None


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        accuracy: share of the test bags whose larger logit is their class's.
        auc: of the test bags; None where they are of one class.
        epoch: that was kept, from 0.
        seconds: of processor time.
    """

    accuracy: float
    auc: float | None
    epoch: int
    seconds: float


def trials(bag_sets: Sequence[str], size: Size) -> Iterator[Trial]:
    """Every training, set by set, in the order of the tables."""
    for bag_set in bag_sets:
        for contest in CONTESTS:
            for repeat in range(_repeats(bag_set, contest, size)):
                for fold in range(size.folds):
                    yield Trial(bag_set, contest.model, contest.protocol, repeat, fold)


def _repeats(bag_set: str, contest: Contest, size: Size) -> int:
    """Of the cross-validation: one where no published figure is there to be compared with."""
    compared = any(bag_set == each for each, _ in PUBLISHED)
    return min(size.repeats, contest.repeats if compared else 1)


def recipe_of(trial: Trial, size: Size) -> Recipe:
    """How a trial is trained."""
    recipe = trial.contest.recipe(trial.bag_set)
    return replace(recipe, epochs=min(recipe.epochs, size.epochs))


def run(trial: Trial, place: Path, size: Size) -> Outcome:
    """Train on one thread, and look at the test bags once, after training."""
    torch.set_num_threads(1)
    started = time.process_time()
    outcome = _Fold.of(trial, read_set(place), size).outcome()
    return replace(outcome, seconds=time.process_time() - started)


@dataclass(frozen=True, eq=False)
class _Fold:
    """A trial, its cases, and its bags as the training part scales them."""

    trial: Trial
    bags: tuple[Bag, ...]
    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]
    recipe: Recipe

    @classmethod
    def of(cls, trial: Trial, bag_set: BagSet, size: Size) -> "_Fold":
        people = _cohort(bag_set)
        splits = _splits(people, trial, size)
        (fold,) = training_folds(splits, people)
        test = held_out(splits, people, trial.fold, repeat=trial.repeat)
        bags = bag_set.seen_from([int(case.case_id) for case in fold.train])
        return cls(trial, bags, fold.train, fold.val, test, recipe_of(trial, size))

    def outcome(self) -> Outcome:
        with Reader(lambda case: self.bags[int(case.case_id)], cache_gb=1) as reader:
            learning = self._learnt(reader)
            test = _part(self.test, reader)
            logits = learning.logits(test)  # (bags, 2)
        epoch = learning.history.best(learning.recipe)
        right = (logits.argmax(dim=1) == test.targets).double().mean()
        found = auc(logits[:, 1] - logits[:, 0], test.targets == 1)
        return Outcome(float(right), found if found == found else None, epoch or 0, 0.0)

    def _learnt(self, reader: Reader) -> Learning:
        """The trained model, with the weights of the epoch to keep."""
        seed = (self.trial.repeat, self.trial.fold)
        torch.manual_seed(torch_seed(seed))
        model = self.trial.contest.build(self.bags[0].features.shape[1])
        task = tasks.Classification(CLASSES)
        learning = Learning(model, task, self.recipe, Computing("cpu", "fp32"), seed)
        val = _part(self.val, reader) if self.val else None
        fit(learning, _part(self.train, reader), val, keep=_nothing, report=_silent)
        learning.model.load_state_dict(learning.best)
        return learning


def _cohort(bag_set: BagSet) -> Cohort:
    """Every bag is a patient of one slide."""
    rows = tuple(
        SlideRow(str(number), str(number), value=label)
        for number, label in enumerate(bag_set.labels.tolist())
    )
    return Cohort(rows, cohort.Classification("label", CLASSES))


def _splits(people: Cohort, trial: Trial, size: Size) -> Splits:
    """The one fold of the trial; both protocols test the same bags."""
    plan = Plan(size.folds, trial.contest.val, trial.repeat + 1)
    place, found = (trial.repeat, trial.fold), make_splits(people, plan).assignments
    return Splits(tuple(each for each in found if each.place == place))


def _part(cases: tuple[Case, ...], reader: Reader) -> Part:
    return Part(cases, targets_of(cases), reader, sizes=(0,) * len(cases))


def _nothing(_: Learning) -> None:
    """Keep no state: a training takes seconds."""


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
