"""The models of a run, looking at slides; each slide by those that never learnt from it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.bags import Bags
from wsi_tools.heatmap.columns import columns_of, mean_columns, predicted_class, vectors_of
from wsi_tools.heatmap.scores import Judges, Known, MarkerMatrix, TileScores
from wsi_tools.mil import card
from wsi_tools.prediction import Computing, Ensemble, Prediction
from wsi_tools.splits import Splits, read_splits
from wsi_tools.store import FeatureStore
from wsi_tools.training import trained_folders

__all__ = ["RunModels"]

Columns = Mapping[str, np.ndarray]

SPLITS = "splits.csv"


class RunModels:
    """The models of a run, or of the one fold that is named.

    A slide of the run's cohort is seen by the models that were tested on it, so that no picture
    shows what was learnt by heart, and so is another slide of a patient of that cohort; any other
    slide is seen by all of them, averaged. Where neither can be
    (one fold was named, which learnt from the slide) the scores say so.

    Args:
        ensemble: the models.
        names: of the models, such as ``fold-2``.
        splits: the run's, if they are known.
    """

    def __init__(
        self, ensemble: Ensemble, names: Sequence[str], splits: Splits | None = None
    ) -> None:
        self.ensemble, self.names = ensemble, tuple(names)
        self._roles: dict[str, dict[tuple[int, int], str]] = {}
        self._patients: dict[str, dict[tuple[int, int], str]] = {}
        for each in splits.assignments if splits else ():
            self._roles.setdefault(each.slide_id, {})[each.place] = each.role
            self._patients.setdefault(each.patient_id, {})[each.place] = each.role

    @classmethod
    def load(cls, run: Path, computing: Computing | None = None) -> Self:
        """The models of a run or of one fold, with the run's splits.

        Raises:
            DataError: there is no model, a training has not ended, or a file is damaged.
        """
        folders = trained_folders(run)
        above = (run, *run.resolve().parents[:3])  # seed-S/repeat-R/fold-K at the deepest
        splits = next((each / SPLITS for each in above if (each / SPLITS).is_file()), None)
        ensemble = Ensemble.load(folders, computing or Computing())
        names = [
            folder.name if folder == run else folder.relative_to(run).as_posix()
            for folder in folders
        ]
        return cls(ensemble, names, read_splits(splits) if splits else None)

    @property
    def level(self) -> str:
        """What a case is: a slide, or a patient."""
        return self.ensemble.checkpoints[0].reads.level

    def bags(self, project: Path, cohort: Cohort) -> Bags:
        """The bags of a cohort as the models read them; see `Ensemble.bags`."""
        return self.ensemble.bags(project, cohort)

    def scores(self, case: Case, bags: Bags) -> tuple[TileScores, ...]:
        """The scores of every slide of a case.

        Raises:
            DataError: a slide has no tile to use, or features that are not finite.
        """
        chosen, judges = self._chosen(case)
        prediction = next(chosen.predictions([case], bags))
        return tuple(_by_slide(chosen, prediction, bags, judges))

    def judges(self, case: Case) -> Judges:
        """Who would look at a case."""
        return self._chosen(case)[1]

    def _chosen(self, case: Case) -> tuple[Ensemble, Judges]:
        places = [(each.origin.repeat, each.origin.fold) for each in self.ensemble.checkpoints]
        roles = [self._role(case, place) for place in places]
        tested = [number for number, role in enumerate(roles) if role == "test"]
        chosen = tested or list(range(len(places)))
        known: Known = "tested" if tested else "learnt" if any(roles) else "new"
        judges = Judges(tuple(self.names[number] for number in chosen), known)
        return self.ensemble.only(chosen), judges

    def _role(self, case: Case, place: tuple[int, int]) -> str | None:
        """The role of a case or its patient in a fold; None where the run knows neither."""
        known = [self._roles.get(slide, {}) for slide in case.slides]
        known.append(self._patients.get(case.patient_id, {}))
        return next((roles[place] for roles in known if place in roles), None)


def _by_slide(
    models: Ensemble, prediction: Prediction, bags: Bags, judges: Judges
) -> Iterator[TileScores]:
    markers = bags.marker_names(prediction.case.slides[0])
    columns, chosen = _columns(models, prediction, markers)
    first = 0
    for number, slide_id in enumerate(prediction.case.slides):
        rows = bags.rows(slide_id).numpy()
        grid = FeatureStore(bags.stores[slide_id]).grid(bags.features.grid)
        values = np.full((len(grid), len(columns)), np.nan, np.float32)
        for place, column in enumerate(columns.values()):
            values[rows, place] = column[first : first + len(rows)]
        first += len(rows)
        yield TileScores(
            slide_id=slide_id,
            store=bags.stores[slide_id],
            grid=grid,
            names=tuple(columns),
            values=values,
            predicted=prediction.values,
            judges=judges,
            of=chosen,
            markers=_matrix(prediction, number, markers),
            vectors=vectors_of(models.checkpoints[0], prediction.answers),
        )


def _columns(
    models: Ensemble, prediction: Prediction, markers: Sequence[str]
) -> tuple[Columns, str]:
    """The scores of the tiles of a case's bag, and the class that ``attention`` is for."""
    first = models.checkpoints[0]
    rows = len(prediction.answers[0].attention)
    chosen = predicted_class(first, dict(prediction.values), rows)
    several = [
        columns_of(each, said, markers, chosen)
        for each, said in zip(models.checkpoints, prediction.answers, strict=True)
    ]
    tokens = card(first.composition.name).rows == "tokens"
    return mean_columns(several, tokens=tokens), chosen


def _matrix(prediction: Prediction, number: int, names: Sequence[str]) -> MarkerMatrix | None:
    """The mean over the models of one slide's marker attention."""
    found = [each.matrix.mean[number] for each in prediction.answers if each.matrix is not None]
    if not found:
        return None
    return MarkerMatrix(tuple(names), np.mean([each.numpy() for each in found], axis=0))
