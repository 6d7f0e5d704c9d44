"""What the page of a run says, put together from its folder, its cohort and its slides."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from wsi_tools.metrics import ClassRows, LabelRows, SurvivalRows, ValueRows
from wsi_tools.report.classes import confusion_matrix, probability_figures
from wsi_tools.report.figures import Figure, Table, number
from wsi_tools.report.follow_ups import survival_figures
from wsi_tools.report.learning import learning_curves
from wsi_tools.report.results import fold_table, headlines, metric_rows
from wsi_tools.report.run import RunRecord
from wsi_tools.report.slides import Slides
from wsi_tools.report.truth import Truth
from wsi_tools.report.values import value_figure
from wsi_tools.splits.summary import parts

__all__ = ["contents"]

FEW = 10  # patients of a class or with the event, below which an interval says little


def contents(run: RunRecord, truth: Truth | None, missing: str, slides: Slides) -> dict[str, Any]:
    """The values of the template.

    Args:
        run: the run.
        truth: what became of its patients; None where the table is not to be had.
        missing: then, why.
        slides: the section of slides.
    """
    rows = truth.joined.rows if truth else None
    return {
        "title": _title(run),
        "lead": _lead(run),
        "kind": run.kind,
        "headlines": headlines(run),
        "notes": list(_notes(run, truth, missing)),
        "facts": list(_facts(run, truth)),
        "folds": _folds(run, truth),
        "learning": list(learning_curves(run)),
        "learning_note": _learning_note(run),
        "metrics": metric_rows(run),
        "metrics_note": _metrics_note(run),
        "every_fold": fold_table(run),
        "matrix": confusion_matrix(rows) if isinstance(rows, ClassRows) else None,
        "results": list(_results(run, truth)) if truth else [],
        "slides": slides,
        "provenance": list(_provenance(run)),
        "models": _models(run),
        "toml": run.toml,
    }


def _title(run: RunRecord) -> str:
    what = f"Survival ({_target(run)})" if run.kind == "Survival" else _target(run)
    return f"{what} by {run.trainings[0].checkpoint.composition.name}"


def _target(run: RunRecord) -> str:
    asked = run.request["target"]
    named = {
        "Classification": "label",
        "Multilabel": "labels",
        "Regression": "column",
        "Survival": "time",
    }
    value = asked[named[run.kind]]
    return value if isinstance(value, str) else ", ".join(value)


def _lead(run: RunRecord) -> str:
    slides = {each.slide_id for each in run.splits.assignments}
    patients = {each.patient_id for each in run.splits.assignments}
    trainings = len(run.trainings)
    return (
        f"{len(slides)} slides of {len(patients)} patients, {_counted(trainings, 'training')}. All "
        f"figures are of the {_tested(run)} patients who were tested, each by models that neither "
        "learnt from them nor were chosen on them."
    )


def _tested(run: RunRecord) -> int:
    return len({each.patient_id for each in run.splits.assignments if each.role == "test"})


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _notes(run: RunRecord, truth: Truth | None, missing: str) -> Iterator[str]:
    """What a reader must keep in mind."""
    if missing:
        yield (
            f"Curves, confusion and calibration are missing, since what became of the patients is "
            f"not known here ({missing})."
        )
    if truth is not None and truth.changed:
        yield (
            "The cohort’s table says something else than at the time of training; the metrics are "
            "of then, the curves of now."
        )
    weights = str(run.request["features"].get("encoder", {}).get("weights", ""))
    if weights.startswith("random"):
        yield "The features come from a backbone with random weights: the numbers mean nothing."
    yield from _few(truth)
    for row in run.summary.items():
        yield from _undefined(*row)


def _few(truth: Truth | None) -> Iterator[str]:
    for what, count in _counts(truth).items():
        if count < FEW:
            yield f"{_counted(count, 'patient')} {what}: intervals are wide, and rough."


def _undefined(metric: str, values: Mapping[str, float | None]) -> Iterator[str]:
    if metric in ("auroc", "c_harrell", "c_uno", "r2") and values.get("undefined_folds"):
        undefined, folds = (int(values[name] or 0) for name in ("undefined_folds", "folds"))
        yield f"{metric} is undefined in {undefined} of {folds} folds, which its mean leaves out."


def _counts(truth: Truth | None) -> dict[str, int]:
    """Tested patients of each class, or with the event."""
    rows = truth.joined.rows if truth else None
    if isinstance(rows, ClassRows):
        by_class = {f"of {name}": rows.truth == k for k, name in enumerate(rows.classes)}
        return {name: len(np.unique(rows.patient[at])) for name, at in by_class.items()}
    if isinstance(rows, LabelRows):
        at_label = {f"with {name}": rows.truth[:, k] for k, name in enumerate(rows.labels)}
        return {name: len(np.unique(rows.patient[at])) for name, at in at_label.items()}
    if isinstance(rows, SurvivalRows):
        return {"with the event": len(np.unique(rows.patient[rows.event]))}
    return {}


def _facts(run: RunRecord, truth: Truth | None) -> Iterator[tuple[str, str]]:
    first = run.trainings[0].checkpoint
    features, recipe = run.request["features"], run.request["recipe"]
    yield "Task", f"{run.kind.lower()} of {_target(run)}{_loss(run)}"
    yield "Cohort", truth.cohort.source if truth else str(run.options.get("cohort", "not known"))
    if counts := _counts(truth):
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        yield "Tested patients", f"{_tested(run)}; {told}"
    yield "Features", f"{features['set']}, {' × '.join(map(str, features['values']))} values a tile"
    if features.get("markers"):
        yield "Markers", ", ".join(features["markers"])
    yield "Model", f"{_composition(run)}, {run.trainings[0].parameters:,} weights"
    if first.reads.columns:
        yield "Clinical columns", ", ".join(first.reads.columns)
    yield "A case is", f"a {first.reads.level}"
    yield "Recipe", ", ".join(_recipe(recipe))
    yield "Seeds", ", ".join(map(str, run.request["seeds"]))


def _loss(run: RunRecord) -> str:
    kind, balance = run.trainings[0].checkpoint.task.kind, run.request["goal"]["balance"]
    told: list[str] = [] if kind == run.kind.lower() else [kind]
    if balance != "none":
        told.append(f"classes balanced by {balance}")
    return f" ({', '.join(told)})" if told else ""


def _composition(run: RunRecord) -> str:
    composition = run.trainings[0].checkpoint.composition
    around = {
        "encoder": composition.encoder,
        "channel fusion": composition.channel_fusion,
        "stabilised by": composition.stabilize,
        **composition.settings,
    }
    told = [f"{name} {value}" for name, value in around.items() if value is not None]
    return ", ".join((composition.name, *told))


def _recipe(recipe: Mapping[str, Any]) -> Iterator[str]:
    yield f"{recipe['optimizer']}, learning rate {recipe['lr']:g}, decay {recipe['weight_decay']:g}"
    yield f"{recipe['schedule']} schedule"
    yield f"at most {recipe['epochs']} epochs, patience {recipe['patience']}"
    if recipe["max_bag"]:
        yield f"at most {recipe['max_bag']} tiles of a bag in training"


def _learning_note(run: RunRecord) -> str:
    if all(each.checkpoint.origin.val_loss is None for each in run.trainings):
        return "Loss by epoch. Nobody validated: the last epoch was kept, whatever its loss."
    return (
        "Loss by epoch. The epoch that was kept was chosen on validation cases, by "
        f"{run.request['recipe']['monitor']}; no test case was read before that."
    )


def _folds(run: RunRecord, truth: Truth | None) -> Table:
    known = {each.patient_id for each in run.splits.assignments}
    groups = {patient: _group(truth, patient) for patient in known}
    told = list(parts(run.splits, groups))
    kinds = sorted({kind for each in told for kind in each.groups})
    header = ("fold", "role", "patients", "slides", *(kinds if len(kinds) > 1 else ()))
    repeated = run.splits.repeats > 1
    rows = [
        (
            f"{each.repeat}/{each.fold}" if repeated else str(each.fold),
            each.role,
            str(each.patients),
            str(each.slides),
            *(str(each.groups[kind]) for kind in kinds if len(kinds) > 1),
        )
        for each in told
    ]
    return Table("Patients and slides of each part", header, rows)


def _group(truth: Truth | None, patient_id: str) -> str:
    """What is told of a patient in the table of folds."""
    if truth is None or truth.cohort.slide_labels or truth.cohort.target is None:
        return "all"
    found = (each for each in truth.cohort.slides if each.patient_id == patient_id)
    value = next((each.value for each in found), None)
    return "not known" if value is None else truth.cohort.target.group(value)


def _metrics_note(run: RunRecord) -> str:
    text = (
        "Test patients alone. Intervals are the middle 95 % of 1000 bootstrap draws of patients; "
        "they do not cover how far another training would differ. Pooled values compare pairs of "
        "one fold alone."
    )
    if len(run.request["seeds"]) > 1:
        text += " The sd over seeds says how far training scatters; it is no interval."
    if run.trainings[0].checkpoint.task.kind == "survival-cox":
        text += " With Cox, risks of different folds are on different scales, so no C is pooled."
    return text


def _results(run: RunRecord, truth: Truth) -> Iterator[Figure]:
    rows = truth.joined.rows
    if isinstance(rows, ClassRows | LabelRows):
        yield from probability_figures(rows)
    elif isinstance(rows, SurvivalRows):
        yield from survival_figures(run, truth)
    elif isinstance(rows, ValueRows):
        yield value_figure(rows, _target(run))


def _provenance(run: RunRecord) -> Iterator[tuple[str, str]]:
    request, features = run.request, run.request["features"]
    encoder = features.get("encoder", {})
    yield "wsitools", str(run.made_by["version"])
    yield (
        "Libraries",
        ", ".join(f"{name} {each}" for name, each in run.made_by["libraries"].items()),
    )
    yield "Run", run.digest
    yield "Cohort", str(request["cohort"])
    yield "Split", str(request["splits"])
    yield (
        "Backbone",
        f"{encoder.get('backbone', 'not known')}, weights {encoder.get('weights', 'not known')}",
    )


def _models(run: RunRecord) -> Table:
    header = ("fold", "seed", "epoch", "validation loss", "threshold", "weights", "model.json")
    rows = [
        (
            each.name,
            str(each.checkpoint.origin.seed),
            f"{each.checkpoint.origin.epoch + 1} of {each.checkpoint.origin.epochs}",
            number(each.checkpoint.origin.val_loss),
            number(each.checkpoint.reference.threshold),
            each.digests["weights"],
            each.digests["digest"],
        )
        for each in run.trainings
    ]
    return Table("Every model, with SHA-256 of its weights and of model.json", header, rows)
