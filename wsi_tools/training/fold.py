"""One training of a run: from the cases of a fold to its checkpoint; it knows no test case."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from wsi_tools.checkpoint import Checkpoint, Composition, Origin, Reads
from wsi_tools.cohort import Case, Scaler
from wsi_tools.cohort.bags import Bags
from wsi_tools.errors import DataError, InputError
from wsi_tools.execution import Report
from wsi_tools.mil import Bag, MILModel, parameters
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.inputs import as_read
from wsi_tools.prediction.reading import Reader
from wsi_tools.prediction.recipe import recipe_of
from wsi_tools.splits import Fold
from wsi_tools.tasks import AnyTask, Classification
from wsi_tools.training.experiment import Design
from wsi_tools.training.loop import Learning, Part, fit, torch_seed
from wsi_tools.training.recording import STATE_NAME, recorder
from wsi_tools.training.settling import settle
from wsi_tools.training.state import load_state
from wsi_tools.training.targets import make_task, targets_of

__all__ = ["rehearse", "train_fold"]


def train_fold(design: Design, fold: Fold, seed: int, folder: Path, report: Report) -> Checkpoint:
    """Train on a fold, go on where an earlier attempt stopped, and write the checkpoint.

    Args:
        design: how.
        fold: on whom; it holds no test case.
        seed: every random number follows from it, the repeat and the fold.
        folder: of this training; its state is kept there.
        report: told of progress.

    Raises:
        DataError: the fold cannot be learnt from, or the state there is not of this training.
        InputError: the model does not fit the features, or the recipe the fold.
    """
    start = _Start.of(design, fold)
    learning = start.learning(design, (seed, fold.repeat, fold.number))
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / STATE_NAME).is_file():
        load_state(folder / STATE_NAME, learning)
    computing, means = learning.computing, design.compute
    room = computing.room_gb(means.cache_gb, means.jobs)
    with (
        Reader(start.bag, room, computing.placed) as reader,
        recorder(folder, tensorboard=means.tensorboard) as keep,
    ):
        train = start.part(fold.train, reader)
        val = start.part(fold.val, reader) if fold.val else None
        _refuse_silent(learning, val, fold)
        fit(learning, train, val, keep=keep, report=report)
        task, reference = settle(learning, train, val)
    origin = _origin(design, fold, seed, learning)
    checkpoint = Checkpoint(start.composition, task, start.reads, origin, learning.best, reference)
    checkpoint.save(folder)
    return checkpoint


def rehearse(design: Design, fold: Fold) -> int:
    """Go as far as the first epoch, and no further; give the number of weights that would learn.

    Raises:
        DataError: the fold cannot be learnt from.
        InputError: the model does not fit the features, or the recipe the fold.
        UnavailableError: there is no such device.
    """
    computing = Computing(design.compute.device, design.recipe.precision)
    model = _Start.of(design, fold).model(0).to(computing.place)
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


@dataclass(frozen=True)
class _Start:
    """What a fold settles before the first epoch, from its training cases alone.

    Attributes:
        task: with class weights, bins, scale.
        composition: with what the model must know of the training cases.
        reads: with the scalers of the clinical tables.
        bags: of training and validation cases.
    """

    task: AnyTask
    composition: Composition
    reads: Reads
    bags: Bags

    @classmethod
    def of(cls, design: Design, fold: Fold) -> "_Start":
        task = make_task(design.target, design.goal, fold.train)
        _refuse_one_class(design, task, fold)
        slides = [name for case in (*fold.train, *fold.val) for name in case.slides]
        rows = [case.cells for case in fold.train]
        scalers = tuple(Scaler.fit(table, rows) for table in design.inputs.clinical)
        bags = design.bags(slides)
        if design.composition.channel_fusion and bags.markers is None:
            raise InputError(_unfit(design.composition.name, None))
        composition = _informed(design.composition, task, fold.train, bags.markers)
        return cls(task, composition, _reads(design, bags, scalers), bags)

    def bag(self, case: Case) -> Bag:
        """The bag of a case, with its record."""
        return as_read(self.bags.bag(case), case, self.reads)

    def model(self, seed: int) -> MILModel:
        """The model with fresh weights."""
        torch.manual_seed(seed)
        model = self.composition.build(self.reads.width, self.task.width, self.reads.tables)
        if model.takes_markers != (self.bags.markers is not None):
            raise InputError(_unfit(self.composition.name, self.bags.markers))
        return model

    def learning(self, design: Design, seed: tuple[int, ...]) -> Learning:
        """The model on its device, ready to learn."""
        computing = Computing(design.compute.device, design.recipe.precision)
        model = self.model(torch_seed(seed)).to(computing.place)
        return Learning(model, self.task, design.recipe, computing, seed)

    def part(self, cases: tuple[Case, ...], reader: Reader) -> Part:
        """Cases with their targets; their sizes are looked at only where bags are cut."""
        cut = self.reads.bag_tiles is not None
        sizes = tuple(self.bags.size(case) if cut else 0 for case in cases)
        return Part(cases, targets_of(cases), reader, sizes)


def _reads(design: Design, bags: Bags, scalers: tuple[Scaler, ...]) -> Reads:
    return Reads(
        level=design.inputs.level,
        features=str(bags.features),
        min_tissue=bags.min_tissue,
        identity=bags.identity,
        scalers=scalers,
        covariates=bool(design.inputs.covariates),
        bag_tiles=design.recipe.bag_tiles,
        recipe=recipe_of(bags),
    )


def _informed(
    composition: Composition, task: AnyTask, train: Sequence[Case], markers: int | None
) -> Composition:
    """The composition that knows what it wants to: training cases of each class, markers."""
    settable = parameters(
        composition.name,
        encoder=composition.encoder,
        channel_fusion=composition.channel_fusion,
        stabilize=composition.stabilize,
    )
    known = {"class_counts": _class_counts(task, train), "channel_fusion.markers": markers}
    told = {name: value for name, value in known.items() if name in settable and value is not None}
    return replace(composition, settings={**told, **composition.settings})


def _class_counts(task: AnyTask, train: Sequence[Case]) -> tuple[int, ...] | None:
    if not isinstance(task, Classification):
        return None
    return tuple(torch.bincount(targets_of(train), minlength=task.width).tolist())


def _refuse_one_class(design: Design, task: AnyTask, fold: Fold) -> None:
    """Refuse training cases that are all alike."""
    known = {design.target.group(case.value) for case in fold.train if case.value is not None}
    if isinstance(task, Classification) and len(known) == 1:
        raise DataError(
            f"fold {fold.number}: all its training cases are {known.pop()}, so that there is "
            "nothing to tell apart; add patients of another class, or give a --splits that "
            "trains on one"
        )


def _refuse_silent(learning: Learning, val: Part | None, fold: Fold) -> None:
    """Refuse a fold whose validation cannot do what the recipe asks of it."""
    recipe, task = learning.recipe, learning.task
    if val is None:
        if recipe.patience:
            raise InputError(
                f"fold {fold.number}: has no validation cases to stop by; add --patience 0 for a "
                "fixed number of epochs, or give a --val share"
            )
        return
    if not task.informs(val.targets):
        raise DataError(
            f"fold {fold.number}: its validation cases say nothing of who outlives whom; give a "
            "larger --val, or --val 0 --patience 0 for a fixed number of epochs"
        )
    if recipe.monitor == "f1+auroc" and len(set(val.targets.tolist())) < task.width:
        raise DataError(
            f"fold {fold.number}: a class has no validation case, so that there is no AUROC to "
            "choose the epoch by; give a larger --val, or --monitor loss"
        )


def _unfit(name: str, markers: int | None) -> str:
    if markers is None:
        return (
            f"{name}: reads features of several markers per tile, and these have none; choose a "
            "model without a channel fusion, or features embedded per channel"
        )
    return (
        f"{name}: reads one vector per tile, and these have {markers} markers each; add "
        "--channel-fusion fluoroformer, mean or concat"
    )


def _origin(design: Design, fold: Fold, seed: int, learning: Learning) -> Origin:
    epochs = learning.history.epochs
    best = learning.history.best(learning.recipe) or 0
    return Origin(
        target=design.target.columns,
        repeat=fold.repeat,
        fold=fold.number,
        seed=seed,
        epoch=best,
        epochs=len(epochs),
        val_loss=epochs[best].val_loss,
        training=asdict(design.recipe),
    )
