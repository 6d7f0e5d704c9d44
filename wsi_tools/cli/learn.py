"""Learn: splits, and the models that can be named."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import cohort as of_cohort
from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.cli.cohort import CohortFile
from wsi_tools.errors import DataError, InputError

if TYPE_CHECKING:
    from wsi_tools.cohort import Cohort
    from wsi_tools.splits import Plan, Splits


class Composition:
    """Which model, and the parts around it."""

    name: Annotated[
        str | None, typer.Argument(help="One of them.", show_default=False, show_envvar=False)
    ] = None
    encoder: Annotated[
        str | None, typer.Option(help="With an encoder before it: roformer.", show_envvar=False)
    ] = None
    channel_fusion: Annotated[
        str | None,
        typer.Option(
            help="With a fusion of markers: fluoroformer, mean or concat.", show_envvar=False
        ),
    ] = None
    stabilize: Annotated[
        str | None, typer.Option(help="With a stabiliser around it: asmil.", show_envvar=False)
    ] = None


@opt.takes(Composition, opt.Manners)
def models(ctx: typer.Context) -> None:
    """List the models, or describe one: parameters and defaults, attention, tasks, paper."""
    from wsi_tools.mil import CARDS, MODELS

    name = ctx.params["name"]
    if name is None and not ctx.params["json"]:
        for each in MODELS:
            summary = CARDS[each].summary if each in CARDS else MODELS[each].card.summary
            terminal.deliver(f"{each:<16} {summary}")
        return
    for row in (_described(each, ctx.params) for each in ([name] if name else MODELS)):
        terminal.deliver(row if ctx.params["json"] else "\n".join(_lines(row)))


def _described(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A model's card, and its parameters with their defaults."""
    from wsi_tools.mil import card, parameters

    parts = {part: chosen[part] for part in ("encoder", "channel_fusion", "stabilize")}
    return asdict(card(name)) | {"parameters": parameters(name, **parts)}


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['name']}: {row['summary']}"
    for label in ("paper", "licence", "attention"):
        yield f"  {label}: {row[label]}"
    yield f"  tasks: {', '.join(row['tasks'])}"
    yield f"  needs: {', '.join(row['needs']) or 'one vector per tile'}"
    for name, default in row["parameters"].items():
        yield f"  --set {name}={default}"


class WhichCohort:
    """Whose slides."""

    cohort: CohortFile = None


class Division:
    """How patients are divided, and where that is written."""

    folds: Annotated[int, opt.option("Each patient is tested in one.", panel="Folds")] = 5
    val: Annotated[
        float, opt.option("Share of the patients that validates, in every fold.", panel="Folds")
    ] = 0.15
    repeats: Annotated[int, opt.option("Divide so often, each time anew.", panel="Folds")] = 1
    stratify: Annotated[
        list[str] | None,
        opt.option("A further column to balance over.", panel="Folds", metavar="COL"),
    ] = None
    site: Annotated[
        str | None,
        opt.option("Test each site of this column as a whole.", panel="Folds", metavar="COL"),
    ] = None
    seed: Annotated[int, opt.option("Another one gives another split.", panel="Folds")] = 0
    out: Annotated[
        str | None,
        opt.option(
            "The split, as CSV; - for stdout.", "--out", "-o", panel="Output", metavar="FILE"
        ),
    ] = None
    overwrite: Annotated[
        bool, opt.option("Replace another split.", "--overwrite", panel="Output")
    ] = False
    dry_run: Annotated[
        bool, opt.option("Show the folds; write nothing.", "--dry-run", panel="Output")
    ] = False


class Audit:
    """A split that is there already."""

    check: Annotated[
        Path | None,
        opt.option(
            "Look for leaks in a split of wsitools, CLAM (CSV) or STAMP (JSON).",
            panel="Audit",
            metavar="FILE",
        ),
    ] = None
    project: Annotated[
        Path | None,
        opt.option(
            "Stores that tell copies of one image under several names.",
            panel="Audit",
            metavar="DIR",
        ),
    ] = None


@opt.takes(WhichCohort, of_cohort.Aim, of_cohort.CohortTable, Division, Audit, opt.Manners)
def splits(ctx: typer.Context) -> None:
    """Divide a cohort by patients into folds of training, validation and test; or audit a split."""
    if ctx.params["check"] is not None:
        _check(ctx)
    elif ctx.params["cohort"] is None:
        raise InputError("name the table of the cohort")
    else:
        _divide(ctx)


def _check(ctx: typer.Context) -> None:
    """Deliver every leak of a split.

    Raises:
        DataError: there is one.
    """
    from wsi_tools.splits import read_any_splits

    given, path = ctx.params, ctx.params["check"]
    table = given["cohort"]
    cohort = of_cohort.read_cohort(ctx, table, target=False) if table else None
    found = read_any_splits(path, cohort, pattern=given["patient_from"])
    if leaks := _leaks(given, found, cohort):
        raise DataError(
            f"{path}: {_several(leaks, 'leak')}; divide by patients with wsitools splits"
        )
    clean = "no patient and no image is" if given["project"] else "no patient is"
    terminal.say(f"{path}: {_size(found)}; {clean} on two sides")


def _leaks(given: Mapping[str, Any], found: "Splits", cohort: "Cohort | None") -> int:
    """Deliver every leak; count them."""
    from wsi_tools.cohort.stores import fingerprints
    from wsi_tools.splits import audit

    slides = {each.slide_id for each in found.assignments}
    images = fingerprints(given["project"], slides) if given["project"] else None
    leaks = audit(found, patient_of=cohort.patient_of if cohort else None, fingerprints=images)
    for leak in leaks:
        terminal.deliver(asdict(leak) if given["json"] else str(leak))
    return len(leaks)


def _size(found: "Splits") -> str:
    patients = {each.patient_id for each in found.assignments}
    return f"{_several(len(found.places), 'fold')} of {len(patients)} patients"


def _divide(ctx: typer.Context) -> None:
    """Make a split, tell what it came to, and write it.

    Raises:
        InputError: no file to write to was named.
        DataError: two sides hold copies of one image.
    """
    from wsi_tools.splits import make_splits, write_splits

    given = ctx.params
    if given["out"] is None and not given["dry_run"]:
        raise InputError("say where the split goes with --out")
    cohort, plan = of_cohort.read_cohort(ctx, given["cohort"]), _plan(given)
    of_cohort.say_cohort(cohort)
    made = make_splits(cohort, plan)
    _say_folds(cohort, made, plan)
    if given["project"] and (leaks := _leaks(given, made, cohort)):
        raise DataError(
            f"{given['project']}: {_several(leaks, 'leak')} by copies of one image; give the "
            "patients who share it one name, or take a copy out"
        )
    if given["dry_run"]:
        return
    if given["out"] == "-":
        terminal.deliver(made.csv().rstrip("\n"))
        return
    write_splits(Path(given["out"]), made, overwrite=given["overwrite"])
    row = {"splits": given["out"], "folds": plan.folds, "repeats": plan.repeats}
    terminal.deliver(row if given["json"] else given["out"])


def _plan(given: Mapping[str, Any]) -> "Plan":
    from wsi_tools.splits import Plan

    return Plan(
        folds=given["folds"],
        val=given["val"],
        repeats=given["repeats"],
        stratify=tuple(given["stratify"] or ()),
        site=given["site"],
        seed=given["seed"],
    )


def _say_folds(cohort: "Cohort", made: "Splits", plan: "Plan") -> None:
    """Tell the patients of every part and every site, and what is missing where."""
    from wsi_tools.splits import groups_of, lacking, parts, site_counts, sites_of

    groups = groups_of(cohort)
    for part in parts(made, groups):
        repeat = f"repeat {part.repeat}, " if plan.repeats > 1 else ""
        terminal.say(
            f"{repeat}fold {part.fold} {part.role}: {_counted(part.patients, part.groups)}"
        )
    if plan.site is not None:
        for site in site_counts(made, sites_of(cohort, plan.site), groups):
            tested = ", ".join(str(fold) for fold in site.folds)
            counts = _counted(site.patients, site.groups)
            terminal.say(f"site {site.site}: tested in fold {tested}; {counts}")
    for sentence in lacking(made, groups):
        terminal.warn(sentence)


def _counted(patients: int, groups: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {group}" for group, count in groups.items())
    return f"{patients} patients ({listed})"


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
