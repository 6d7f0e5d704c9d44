"""One model or several on the same cases: the mean of what they say, and how far they differ."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from wsi_tools.checkpoint import Checkpoint
from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.bags import Bags
from wsi_tools.errors import DataError
from wsi_tools.mil import Bag, MILModel
from wsi_tools.prediction.answers import Answer, answer, seed_of
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.inputs import as_read, bags_for
from wsi_tools.prediction.reading import Reader
from wsi_tools.store.requests import difference

__all__ = ["Ensemble", "Prediction"]


@dataclass(frozen=True)
class Prediction:
    """What is said of one case.

    Attributes:
        case: the case.
        values: by column, the mean over the models.
        spread: by column, the standard deviation over the models; empty for a single one.
        answers: one per model.
    """

    case: Case
    values: Mapping[str, float]
    spread: Mapping[str, float]
    answers: tuple[Answer, ...]


class Ensemble:
    """Trained models that read the same features and answer the same question.

    Args:
        checkpoints: at least one.
        computing: the device and the precision.

    Raises:
        DataError: they read different features, or answer different questions.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint], computing: Computing) -> None:
        self.checkpoints = tuple(checkpoints)
        self.computing = computing
        _refuse_strangers(self.checkpoints)
        self._models: tuple[MILModel, ...] = tuple(
            each.model().to(computing.place) for each in self.checkpoints
        )

    @classmethod
    def load(cls, folders: Sequence[Path], computing: Computing) -> "Ensemble":
        """The models in these folders.

        Raises:
            DataError: one is missing or damaged, or they do not belong together.
        """
        return cls([Checkpoint.load(folder) for folder in folders], computing)

    def only(self, places: Sequence[int]) -> "Ensemble":
        """Some of the models, by their places; they are not loaded again."""
        fewer = copy(self)
        fewer.checkpoints = tuple(self.checkpoints[place] for place in places)
        fewer._models = tuple(self._models[place] for place in places)
        return fewer

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values that all models give; survival at one fold's quantiles is not."""
        first, *others = (each.task.columns for each in self.checkpoints)
        return tuple(name for name in first if all(name in columns for columns in others))

    def bags(self, project: Path, cohort: Cohort) -> Bags:
        """The bags of a cohort as the models read them.

        Raises:
            DataError: the features are not of the kind the models were trained on.
            InputError: they are not there.
        """
        return bags_for(self.checkpoints[0].reads, project, cohort)

    def predictions(self, cases: Sequence[Case], bags: Bags) -> Iterator[Prediction]:
        """What the models say of each case, in order."""
        with Reader(bags.bag) as reader:
            for case, bag in zip(cases, reader.bags(cases), strict=True):
                yield self.prediction(case, bag)

    def prediction(self, case: Case, bag: Bag) -> Prediction:
        """What the models say of one case, of which this is the bag as it is stored."""
        answers = tuple(
            answer(
                model,
                as_read(bag, case, each.reads),
                each.task,
                self.computing,
                bag_tiles=each.reads.bag_tiles,
                seed=seed_of(case.case_id),
            )
            for model, each in zip(self._models, self.checkpoints, strict=True)
        )
        told = [
            each.task.read(said.logits)
            for each, said in zip(self.checkpoints, answers, strict=True)
        ]
        return Prediction(case, *_summarised(told, self.columns), answers)


def _summarised(
    told: Sequence[Mapping[str, float]], columns: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of every column."""
    values = {name: [row[name] for row in told] for name in columns}
    spread = {name: stdev(each) for name, each in values.items()} if len(told) > 1 else {}
    return {name: fmean(each) for name, each in values.items()}, spread


def _refuse_strangers(checkpoints: Sequence[Checkpoint]) -> None:
    first, *others = checkpoints
    for other in others:
        if changed := difference(_question(other), _question(first)):
            raise DataError(
                f"fold {other.origin.fold}: does not belong with fold {first.origin.fold} "
                f"({changed}); name one run, or one fold"
            )


def _question(checkpoint: Checkpoint) -> dict[str, object]:
    reads = checkpoint.reads
    return {
        "target": list(checkpoint.origin.target),
        "task": checkpoint.task.kind,
        "classes": getattr(checkpoint.task, "classes", ()),
        "level": reads.level,
        "features": dict(reads.identity),
        "columns": list(reads.columns),
    }
