"""Learn: train."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from wsi_tools import errors
from wsi_tools.cli import cohort as of_cohort
from wsi_tools.cli import learning_options as learn
from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.cli.verbs import configuration, toml, was_typed
from wsi_tools.errors import IncompleteError, InputError, WsiToolsError

if TYPE_CHECKING:
    from wsi_tools.checkpoint import Composition
    from wsi_tools.cohort import Cohort
    from wsi_tools.execution import Failure
    from wsi_tools.splits import Splits
    from wsi_tools.training import Design, Experiment, FoldKey, PaperRecipe, RunFolder

RECIPE = opt.names(learn.HowItTrains)[1:]  # less the recipe's own name


@opt.takes(
    learn.Sources,
    of_cohort.Aim,
    of_cohort.CohortTable,
    learn.WhichModel,
    learn.HowItLearns,
    learn.WhatItReads,
    learn.Folds,
    learn.HowItTrains,
    learn.Means,
    learn.RunOutput,
    opt.Manners,
)
def train(ctx: typer.Context) -> None:
    """Train a model on every fold of a cohort, and test it on patients it has not seen."""
    from wsi_tools.store.disk import naming_the_disk
    from wsi_tools.training import RunFolder, rehearse, summarise

    given = ctx.params
    if given["out"] is None and not given["dry_run"]:
        raise InputError("say where the run goes with --out")
    experiment = _experiment(ctx)
    chosen = _chosen(experiment, given["fold"])
    experiment.refuse_measured_tests(chosen)
    if given["dry_run"]:
        for row in _foreseen(experiment, chosen):
            terminal.deliver(row)
        return
    rehearse(experiment.design, experiment.fold(chosen[0]))
    run = RunFolder.of(given["out"], experiment)
    with naming_the_disk(run.path):
        run.claim(
            experiment,
            chosen,
            overwrite=given["overwrite"],
            resume=given["resume"],
            toml="\n".join(toml(configuration(ctx))),
        )
        _train(ctx, experiment, run, chosen)
        told = summarise(run, experiment)
    _conclude(run, told, json=given["json"])


def _train(
    ctx: typer.Context, experiment: "Experiment", run: "RunFolder", chosen: tuple["FoldKey", ...]
) -> None:
    """Train the chosen folds in worker processes; tell each as it ends."""
    from wsi_tools.cli.running import Run
    from wsi_tools.training.work import TrainingWork, trained

    given = ctx.params
    crew = Run(
        [TrainingWork(experiment, run)] * given["jobs"],
        time_limit=given["time_limit"],
        stall_s=given["stall_limit"],
        record=False,
        what="fold",
    )
    done = [key for key in chosen if run.is_done(key)]
    for key in done:
        _tell(asdict(trained(run.fold(key))), json=given["json"])
    waiting: list[Any] = [key for key in chosen if key not in done]  # they go where slides go
    try:
        for _, result in crew.results(waiting):
            _tell(asdict(result), json=given["json"])
    except IncompleteError:
        if len(crew.failures) == len(chosen):  # for all of them the first reason is the reason
            raise _reason(crew.failures[0]) from None
        raise


def _reason(failure: "Failure") -> WsiToolsError:
    """The error of a fold, with its own exit code where it was raised on purpose."""
    kind = getattr(errors, failure.error, IncompleteError)
    error: WsiToolsError = kind(failure.message)
    return error


def _experiment(ctx: typer.Context) -> "Experiment":
    """Everything that was asked for, read and checked.

    Raises:
        WsiToolsError: the options, the cohort, the stores or the split do not fit together.
    """
    from wsi_tools.cohort.stores import with_stores
    from wsi_tools.training import Experiment

    given = ctx.params
    if given["project"] is None or given["cohort"] is None:
        raise InputError("name the project of stores and the table of the cohort")
    design_of = _designer(ctx)
    cohort = of_cohort.read_cohort(ctx, given["cohort"])
    cohort = with_stores(cohort, given["project"], skip_missing=given["skip_missing"])
    of_cohort.say_cohort(cohort)
    seeds = tuple(range(given["seed"], given["seed"] + given["seeds"]))
    return Experiment(
        design_of(cohort), cohort, _splits(ctx, cohort), seeds, command=configuration(ctx)
    )


def _splits(ctx: typer.Context, cohort: "Cohort") -> "Splits":
    """The split that is named, or one made from the cohort; it must not leak.

    Raises:
        DataError: a patient, or one image under two names, is on two sides.
    """
    from wsi_tools.cohort.stores import fingerprints
    from wsi_tools.splits import Plan, audit, make_splits, read_any_splits, refuse

    given = ctx.params
    if given["splits"] is None:
        plan = Plan(given["folds"], given["val"], site=given["site"], seed=given["seed"])
        splits = make_splits(cohort, plan)
    elif was_typed(ctx, "folds", "val", "site"):
        raise InputError("--splits: says who validates and tests; leave --folds, --val, --site out")
    else:
        splits = read_any_splits(given["splits"], cohort, pattern=given["patient_from"])
    images = fingerprints(given["project"], {each.slide_id for each in splits.assignments})
    refuse(audit(splits, patient_of=cohort.patient_of, fingerprints=images))
    return splits


def _designer(ctx: typer.Context) -> "Callable[[Cohort], Design]":
    """The design, but for the target, which the cohort's labels settle.

    Raises:
        InputError: an option is out of range, or options contradict each other.
    """
    from wsi_tools.training import Design

    given, paper = ctx.params, _paper(ctx.params["recipe"])
    parts = {
        "composition": _composition(given, paper),
        "goal": _goal(ctx, paper),
        "inputs": _inputs(given),
        "recipe": _recipe(given, paper),
        "compute": _compute(given),
    }

    def design(cohort: "Cohort") -> Design:
        assert cohort.target is not None
        return Design(given["project"], cohort.target, **parts)

    return design


def _paper(name: str | None) -> "PaperRecipe | None":
    from wsi_tools.training import RECIPES

    if name is None:
        return None
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: choose from {', '.join(RECIPES)}")
    terminal.say(f"--recipe {name}: {RECIPES[name].source}")
    return RECIPES[name]


def _composition(given: Mapping[str, Any], paper: "PaperRecipe | None") -> "Composition":
    from wsi_tools.checkpoint import Composition

    return Composition(
        given["model"] or (paper.model if paper else "abmil"),
        given["encoder"],
        given["channel_fusion"],
        given["stabilize"],
        dict(_setting(text) for text in given["set"] or ()),
    )


def _setting(text: str) -> tuple[str, Any]:
    """A parameter from ``name=value``: a number, true, false, null or a list as JSON, else text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--set {text}: give NAME=VALUE; wsitools models lists the names")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _goal(ctx: typer.Context, paper: "PaperRecipe | None") -> Any:
    """How the target is learnt; what was typed wins over the paper."""
    from wsi_tools.training import Goal

    names = opt.names(learn.HowItLearns)
    typed = {name: ctx.params[name] for name in names if was_typed(ctx, name)}
    return Goal(**{**(paper.goal if paper else {}), **typed})


def _inputs(given: Mapping[str, Any]) -> Any:
    from wsi_tools.cohort import clinical_table
    from wsi_tools.training import Inputs

    covariates = tuple(each.strip() for each in (given["covariates"] or "").split(",") if each)
    return Inputs(
        given["level"],
        given["features"],
        given["min_tissue"],
        tuple(clinical_table(text) for text in given["table"] or ()),
        covariates,
    )


def _recipe(given: Mapping[str, Any], paper: "PaperRecipe | None") -> Any:
    from wsi_tools.training import Recipe

    typed = {name: given[name] for name in RECIPE if given[name] is not None}
    return paper.adjusted(**typed) if paper else Recipe(**typed)


def _compute(given: Mapping[str, Any]) -> Any:
    from wsi_tools.execution import computing_cores
    from wsi_tools.training import Compute

    jobs = given["jobs"]
    return Compute(
        given["device"],
        max(1, computing_cores() // jobs),
        given["cache_gb"] / jobs,
        given["tensorboard"],
        jobs,
    )


def _chosen(experiment: "Experiment", folds: list[int] | None) -> tuple["FoldKey", ...]:
    """The trainings that are meant: all, or those of some folds.

    Raises:
        InputError: the split has no such fold.
    """
    known = sorted({key.fold for key in experiment.keys})
    for fold in folds or ():
        if fold not in known:
            raise InputError(f"--fold {fold}: the split has the folds {', '.join(map(str, known))}")
    return tuple(key for key in experiment.keys if not folds or key.fold in folds)


def _foreseen(experiment: "Experiment", chosen: tuple["FoldKey", ...]) -> Iterator[dict[str, Any]]:
    """What would be trained."""
    from wsi_tools.training import rehearse

    for key in chosen:
        fold = experiment.fold(key)
        row = {**asdict(key), "train": len(fold.train), "val": len(fold.val)}
        yield {**row, "parameters": rehearse(experiment.design, fold)}


def _tell(row: Mapping[str, Any], *, json: bool) -> None:
    """Say what became of a training; deliver its folder."""
    loss = "" if row["val_loss"] is None else f", validation loss {row['val_loss']:.4g}"
    terminal.say(f"{row['folder']}: epoch {row['epoch'] + 1} of {row['epochs']} kept{loss}")
    terminal.deliver(row if json else row["folder"])


def _conclude(run: "RunFolder", told: Mapping[str, Any] | None, *, json: bool) -> None:
    """Tell what the test patients say; deliver the run's path."""
    if told is None:
        missing = [run.name(key) for key in run.keys if not run.is_done(key)]
        terminal.say(f"still to be trained: {', '.join(missing)}; then the run is summarised")
        return
    for name, values in told["metrics"].items():
        terminal.say(f"{name}: {_value(values)}")
    terminal.deliver({"run": str(run.path), **told} if json else str(run.path))


def _value(values: Mapping[str, Any]) -> str:
    """A metric on all folds, with its interval where it can be pooled."""
    pooled, mean, ends = values.get("pooled"), values["mean"], (values.get("lo"), values.get("hi"))
    if pooled is None:
        return "undefined" if mean is None else f"{mean:.3f} (mean over folds)"
    interval = "" if None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}, "
    return f"{pooled:.3f} ({interval}pooled over folds)"
