"""What `train` is asked to do, as values: a design, and the cohort it is tried on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsi_tools.checkpoint import Composition
from wsi_tools.cohort import ClinicalTable, Cohort, Target
from wsi_tools.cohort.bags import Bags, open_bags
from wsi_tools.cohort.stores import fingerprints
from wsi_tools.errors import DataError, InputError
from wsi_tools.mil import card
from wsi_tools.splits import Fold, Splits, training_folds
from wsi_tools.store.requests import fingerprint, json_ready
from wsi_tools.training.recipe import Recipe
from wsi_tools.training.targets import Goal

__all__ = ["Compute", "Design", "Experiment", "FoldKey", "Inputs"]

_COVARIATES = "covariates"  # the name of the table that is appended to every tile


@dataclass(frozen=True)
class Inputs:
    """What models read of the cohort.

    Attributes:
        level: a case is a ``slide`` or a ``patient``.
        features: ``<grid>/<backbone>``; None for the only ones.
        min_tissue: least share of tissue in a tile.
        tables: clinical tables, for models that read a record.
        covariates: clinical columns appended to every tile, for all other models.

    Raises:
        InputError: both tables and covariates.
    """

    level: str = "slide"
    features: str | None = None
    min_tissue: float = 0.0
    tables: tuple[ClinicalTable, ...] = ()
    covariates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tables and self.covariates:
            raise InputError("--table and --covariates: give one of them; a record is a --table")

    @property
    def clinical(self) -> tuple[ClinicalTable, ...]:
        """Every table to fit on a training fold."""
        covariates = (ClinicalTable(_COVARIATES, self.covariates),) if self.covariates else ()
        return self.tables + covariates


@dataclass(frozen=True)
class Compute:
    """With what means; the numbers do not depend on it (on one kind of device).

    Attributes:
        device: see `wsi_tools.prediction.computing.Computing`.
        threads: of each fold.
        cache_gb: memory for bags in GiB, of each fold, on the device.
        tensorboard: write event files too.
        jobs: folds that are trained at a time, with means of their own each.
    """

    device: str = "auto"
    threads: int = 1
    cache_gb: float = 4.0
    tensorboard: bool = False
    jobs: int = 1


@dataclass(frozen=True)
class Design:
    """How models are trained, whoever they are trained on: it knows no case.

    Attributes:
        project: the folder of stores.
        target: what is learnt.
        composition: which model.
        goal: how the target is learnt.
        inputs: what is read.
        recipe: how the model is trained.
        compute: the means.

    Raises:
        InputError: the parts do not fit together.
    """

    project: Path
    target: Target
    composition: Composition
    goal: Goal = field(default_factory=Goal)
    inputs: Inputs = Inputs()
    recipe: Recipe = field(default_factory=Recipe)
    compute: Compute = Compute()

    def __post_init__(self) -> None:
        name, kind = self.composition.name, type(self.target).__name__.lower()
        if kind not in (fitting := card(name).tasks):
            raise InputError(
                f"--model {name}: makes sense for {', '.join(fitting)}, not for {kind}; wsitools "
                "models lists what fits"
            )
        if self.recipe.monitor != "loss" and kind != "classification":
            raise InputError(
                f"--monitor {self.recipe.monitor}: is of classes; for {kind} take --monitor loss"
            )

    def bags(self, slide_ids: Sequence[str]) -> Bags:
        """The bags of some slides."""
        features, least = self.inputs.features, self.inputs.min_tissue
        cohort = Cohort.of_slides(slide_ids)
        return open_bags(self.project, cohort, features=features, min_tissue=least)

    def request(self) -> dict[str, Any]:
        """What the numbers depend on, as plain data."""
        kept = ("composition", "goal", "inputs", "recipe")
        target = {"kind": type(self.target).__name__, **asdict(self.target)}  # type: ignore[call-overload] # every target is a dataclass
        return {"target": target, **{name: asdict(getattr(self, name)) for name in kept}}


@dataclass(frozen=True, order=True)
class FoldKey:
    """One training of a run: a fold of a repeat of the split, with a seed."""

    seed: int
    repeat: int
    fold: int

    @property
    def slide_id(self) -> str:
        """What progress is shown under."""
        return f"fold {self.fold}"


@dataclass(frozen=True)
class Experiment:
    """A design, and the cohort it is tried on.

    Attributes:
        design: how models are trained.
        cohort: slides, patients and values.
        splits: who trains, validates and is tested.
        seeds: one training of every fold for each.
        command: the resolved command, to be kept.
    """

    design: Design
    cohort: Cohort
    splits: Splits
    seeds: tuple[int, ...] = (0,)
    command: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[FoldKey, ...]:
        """Every training, in order."""
        places = self.splits.places
        return tuple(FoldKey(seed, *place) for seed in self.seeds for place in places)

    def fold(self, key: FoldKey) -> Fold:
        """The training and validation cases of a training.

        Raises:
            DataError: the split leaks, or does not fit the cohort.
        """
        folds = training_folds(self.splits, self.cohort, self.design.inputs.level)
        return next(each for each in folds if (each.repeat, each.number) == (key.repeat, key.fold))

    def refuse_measured_tests(self, keys: Sequence[FoldKey]) -> None:
        """Refuse folds whose test slides set the scale that all features were embedded on.

        Raises:
            DataError: such a slide and its fold.
        """
        measured = self.design.bags([self.cohort.slides[0].slide_id]).scale_images
        if not measured:
            return
        known = {*measured, *measured.values()}  # an image may be there under another name
        places = {(key.repeat, key.fold) for key in keys}
        images = fingerprints(self.design.project, {each.slide_id for each in self.cohort.slides})
        for each in self.splits.assignments:
            tested = each.role == "test" and each.place in places
            if tested and known & {each.slide_id, images.get(each.slide_id)}:
                raise DataError(
                    f"fold {each.place[1]}: its test slide {each.slide_id} is among the "
                    "--normalize-fit slides of these features; fit their scale on slides that no "
                    "fold tests, or train the folds that do not test it with --fold"
                )

    def request(self) -> dict[str, Any]:
        """What the numbers depend on: two runs with equal requests are the same run."""
        cases = self.cohort.cases(self.design.inputs.level)
        bags = self.design.bags([slide.slide_id for slide in self.cohort.slides])
        known = [[each.case_id, each.patient_id, repr(each.value)] for each in cases]
        return json_ready(
            {
                **self.design.request(),
                "seeds": self.seeds,
                "features": {"set": str(bags.features), **bags.identity},
                "cohort": fingerprint({"cases": known}),
                "splits": fingerprint({"csv": self.splits.csv()}),
            }
        )
