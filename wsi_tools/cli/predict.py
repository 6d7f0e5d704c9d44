"""Learn: predict."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from wsi_tools.cli import cohort as of_cohort
from wsi_tools.cli import learning_options as learn
from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.errors import DataError, InputError

if TYPE_CHECKING:
    from wsi_tools.cohort import Cohort
    from wsi_tools.cohort.bags import Bags
    from wsi_tools.prediction import Ensemble, Prediction

ATTENTION = ("csv", "zarr")
SPLITS = "splits.csv"


@opt.takes(
    learn.Trained,
    of_cohort.CohortTable,
    learn.FromSlides,
    learn.PredictionOutput,
    learn.PredictionMeans,
    opt.Manners,
)
def predict(ctx: typer.Context) -> None:
    """Say what a trained model makes of slides; a run's folds are averaged, with their spread."""
    from wsi_tools.store.disk import naming_the_disk

    given = ctx.params
    _refuse_incomplete(given)
    model = _model(given)
    project = _prepared(ctx, model) if given["from_slides"] else _only(given["project"])
    cohort = of_cohort.meant(given, project)
    _warn_of_known_slides(given["run"], model, cohort)
    cases = cohort.cases(model.checkpoints[0].reads.level)
    bags = model.bags(project, cohort)
    out = Path(given["out"])
    with naming_the_disk(out.parent):
        told = []
        for prediction in model.predictions(cases, bags):
            told.append(replace(prediction, answers=()))  # attention is large, and written below
            if given["attention"] is not None:
                _write_attention(given, prediction, model, bags)
        _deliver(given, _table(model, told))


def _refuse_incomplete(given: Mapping[str, Any]) -> None:
    if given["run"] is None or not given["project"]:
        raise InputError("name a run, or a fold of one, and the project of stores")
    if given["out"] is None:
        raise InputError("say where the predictions go with --out, or --out - for stdout")
    if given["attention_as"] not in ATTENTION:
        raise InputError(f"--attention-as {given['attention_as']}: choose csv or zarr")


def _model(given: Mapping[str, Any]) -> "Ensemble":
    """The models of a fold, or of every fold of a run.

    Raises:
        DataError: there is none, or one is damaged.
    """
    from wsi_tools.prediction import Computing, Ensemble
    from wsi_tools.training import trained_folders

    folders = trained_folders(given["run"])
    model = Ensemble.load(folders, Computing(given["device"], given["precision"]))
    terminal.say(f"{given['run']}: {len(folders)} model{'s' if len(folders) > 1 else ''}")
    return model


def _warn_of_known_slides(run: Path, model: "Ensemble", cohort: "Cohort") -> None:
    """Tell of slides that these models learnt from, or were chosen on: there they look better."""
    from wsi_tools.splits import read_splits

    splits = next((each / SPLITS for each in (run, *run.parents) if (each / SPLITS).exists()), None)
    if splits is None:
        return
    places = {(each.origin.repeat, each.origin.fold) for each in model.checkpoints}
    learnt = {
        each.slide_id
        for each in read_splits(splits).assignments
        if each.place in places and each.role != "test"
    }
    slides = [slide.slide_id for slide in cohort.slides]
    if known := learnt.intersection(slides):
        terminal.warn(
            f"{len(known)} of {len(slides)} slides helped to train these models, which look better "
            f"there than they are; {splits.parent / 'predictions.csv'} holds honest predictions"
        )


def _only(named: list[str]) -> Path:
    if len(named) > 1:
        raise InputError(f"{named[1]}: name one project, or add --from-slides for slides")
    return Path(named[0])


def _prepared(ctx: typer.Context, model: "Ensemble") -> Path:
    """Prepare what is missing as the training slides were; the project it is in.

    Raises:
        WsiToolsError: a slide cannot be prepared so.
    """
    from wsi_tools.cli.inputs import read_inputs
    from wsi_tools.cli.running import Run
    from wsi_tools.prediction import preparation_of
    from wsi_tools.preparation import Reading

    given = ctx.params
    recipe = model.checkpoints[0].reads.recipe
    work = preparation_of(
        recipe,
        weights=given["weights"],
        device=given["device"],
        reading=Reading(mpp_override=given["mpp_override"]),
    )
    inputs = read_inputs(given["project"], recursive=False, manifest=None)
    project = _place(given) if inputs.sources else _only(given["project"])
    for task, result in Run([work] * given["workers"]).results(inputs.tasks(project)):
        terminal.say(f"{task.slide_id}: {result.embedded} tiles embedded")
    return project


def _place(given: Mapping[str, Any]) -> Path:
    """Where slides are prepared into."""
    if given["stores"] is not None:
        return Path(given["stores"])
    if given["out"] == "-":
        raise InputError("say with --stores where the slides are prepared into")
    return Path(given["out"]).with_suffix(".stores")


def _write_attention(
    given: Mapping[str, Any], prediction: "Prediction", model: "Ensemble", bags: "Bags"
) -> None:
    from wsi_tools.prediction.attention import attention_maps
    from wsi_tools.store.attention import write_attention
    from wsi_tools.store.files import write_atomically

    folder: Path = given["attention"]
    folder.mkdir(parents=True, exist_ok=True)
    for found in attention_maps(prediction, model.checkpoints, bags):
        if given["attention_as"] == "csv":
            write_atomically(folder / f"{found.slide_id}.csv", found.csv().encode())
            continue
        columns = {"coords": found.xy, "grid_index": found.index, "attention": found.weights}
        attributes: dict[str, object] = {"grid": found.grid, "names": list(found.names)}
        if found.pairs is not None:
            columns["marker_attention"] = found.pairs
            attributes["markers"] = list(found.markers)
        write_attention(folder, found.slide_id, columns, attributes)


def _table(model: "Ensemble", told: list["Prediction"]) -> tuple[list[str], list[list[object]]]:
    """Header and rows; the fold of an ensemble is called so."""
    from wsi_tools.prediction.table import header_of, rows_of

    several = len(model.checkpoints) > 1
    fold = "ensemble" if several else str(model.checkpoints[0].origin.fold)
    header = header_of(model.columns, spread=several)
    return header, [row for each in told for row in rows_of(each, fold)]


def _deliver(given: Mapping[str, Any], table: tuple[list[str], list[list[object]]]) -> None:
    """Write the table, or a line of JSON per row; the path goes to stdout.

    Raises:
        DataError: other predictions are there, and not to be overwritten.
    """
    from wsi_tools.prediction import as_csv
    from wsi_tools.store.files import write_atomically

    text, out = as_csv(*table), given["out"]
    if out == "-":
        sys.stdout.write(text)
        return
    path = Path(out)
    there = path.read_bytes() if path.is_file() else None
    if there not in (None, text.encode()) and not given["overwrite"]:
        raise DataError(f"{path}: other predictions are there; add --overwrite, or name another")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    for line in _lines(given, table, path):
        terminal.deliver(line)


def _lines(
    given: Mapping[str, Any], table: tuple[list[str], list[list[object]]], path: Path
) -> Iterator[Any]:
    if not given["json"]:
        yield str(path)
        return
    header, rows = table
    yield from (dict(zip(header, row, strict=True)) for row in rows)
