"""Evaluate: predictions against what became of the patients."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_tools.cli import cohort as of_cohort
from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.cli.verbs import configuration
from wsi_tools.errors import DataError, InputError, UnavailableError

if TYPE_CHECKING:
    from wsi_tools.evaluation import Joined, Question, RunReferences
    from wsi_tools.metrics import FollowUpTerms, Rows

LOSSES = ("nll", "cox")
RECORD = "evaluation.json"
FEW = 10  # patients of a class or with the event, below which an interval says little
ABOUT_OUTPUT = {"out", "overwrite", "dry_run", "json"}


class WhichPredictions:
    """What was said of whom."""

    predictions: Annotated[
        Path,
        typer.Argument(
            help="predictions.csv of a run, a fold or wsitools predict.",
            metavar="PREDS",
            show_default=False,
            show_envvar=False,
        ),
    ]
    cohort: Annotated[
        Path,
        typer.Argument(
            help="The table that knows the labels.",
            metavar="COHORT",
            show_default=False,
            show_envvar=False,
        ),
    ]


class Asked:
    """What is asked of the predictions."""

    by: Annotated[
        list[str] | None,
        opt.option("Evaluate each group of this column too.", panel="Metrics", metavar="COL"),
    ] = None
    against: Annotated[
        Path | None,
        opt.option(
            "Predictions of another run: differences, paired by patient.",
            panel="Metrics",
            metavar="PREDS",
        ),
    ] = None
    draws: Annotated[
        int, opt.option("Bootstrap samples of patients.", panel="Metrics", least=0)
    ] = 1000
    seed: Annotated[int, opt.option("Of the bootstrap.", panel="Metrics")] = 0
    ordered: Annotated[
        bool, opt.option("The classes ascend as their columns do.", "--ordered", panel="Metrics")
    ] = False
    threshold: Annotated[
        float | None,
        opt.option(
            "Probability from which the second of two classes is called.",
            panel="Metrics",
            default="each fold's own, chosen on validation; else 0.5",
        ),
    ] = None


class Terms:
    """On what terms survival is evaluated."""

    reference: Annotated[
        Path | None,
        opt.option(
            "Run or fold whose training patients give censoring, tau, risk cut and threshold.",
            panel="Metrics",
            metavar="RUN",
            default="the folder of PREDS, if it is a run",
        ),
    ] = None
    loss: Annotated[
        str | None,
        opt.option(
            "nll or cox: whether risks of all folds are on one scale.",
            panel="Metrics",
            default="as the run says",
        ),
    ] = None
    horizon: Annotated[
        list[float] | None,
        opt.option(
            "A time for the AUC, in the unit of --time.",
            panel="Metrics",
            default="quartiles of the training fold's events",
        ),
    ] = None
    cut: Annotated[
        float | None,
        opt.option(
            "Risk above which a patient is of high risk.",
            panel="Metrics",
            default="the training fold's median",
        ),
    ] = None


class Output:
    """Where the tables go."""

    out: Annotated[
        Path | None,
        opt.option("Folder of the tables.", "--out", "-o", panel="Output", metavar="DIR"),
    ] = None
    overwrite: Annotated[
        bool, opt.option("Replace another evaluation.", "--overwrite", panel="Output")
    ] = False
    dry_run: Annotated[
        bool,
        opt.option("Say what would be evaluated; write nothing.", "--dry-run", panel="Output"),
    ] = False


@opt.takes(
    WhichPredictions, of_cohort.Aim, of_cohort.CohortTable, Asked, Terms, Output, opt.Manners
)
def evaluate(ctx: typer.Context) -> None:
    """Measure predictions against a cohort: metrics with intervals, groups, curves."""
    from wsi_tools.evaluation import write_evaluation

    given = ctx.params
    if given["out"] is None and not given["dry_run"]:
        raise InputError("say where the tables go with --out")
    request = _request(ctx)
    if given["out"] is not None and (
        done := _done(given["out"], request, overwrite=given["overwrite"])
    ):
        _deliver(done, given)
        return
    run = _references(given)
    joined = _called(_joined(ctx, given["predictions"]), run, given)
    _say_joined(joined)
    if given["dry_run"]:
        return
    question = _question(ctx, joined, run)
    try:
        written = write_evaluation(given["out"], joined, question)
        record = {"request": request, "files": [path.name for path in written]}
        (given["out"] / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise UnavailableError(
            f"{given['out']}: {error.strerror}; make room, or choose another --out"
        ) from None
    _deliver(written, given)


def _request(ctx: typer.Context) -> dict[str, Any]:
    """What the tables depend on: the options, and the bytes of every table that is read."""
    options = configuration(ctx)["options"]
    tables = [ctx.params[name] for name in ("predictions", "cohort", "slides", "against")]
    read = {str(path): _digest(path) for path in tables if path is not None}
    return {**{k: v for k, v in options.items() if k not in ABOUT_OUTPUT}, "tables": read}


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a table") from None


def _done(out: Path, request: Mapping[str, Any], *, overwrite: bool) -> list[Path]:
    """The tables of the same request, if they are there.

    Raises:
        DataError: those of another request are.
    """
    from wsi_tools.store.requests import difference

    try:
        record = json.loads((out / RECORD).read_text())
        changed = difference(request, record["request"])
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        changed = f"{RECORD} is torn"
    if changed and not overwrite:
        raise DataError(f"{out}: holds another evaluation ({changed}); add --overwrite")
    return [] if changed or overwrite else [out / name for name in record["files"]]


def _references(given: Mapping[str, Any]) -> "RunReferences":
    """What the run settled: of --reference, or of the run that the predictions lie in."""
    from wsi_tools.evaluation import RunReferences, read_references

    if given["reference"] is not None:
        return read_references(given["reference"])
    beside = given["predictions"].parent
    try:
        run = read_references(beside)
    except DataError:
        return RunReferences()
    terminal.say(f"{beside}: censoring, risk cut and threshold are its folds'")
    return run


def _joined(ctx: typer.Context, path: Path) -> "Joined":
    from wsi_tools.evaluation import join, read_predictions

    cohort = of_cohort.read_cohort(ctx, ctx.params["cohort"], target=False)
    target = of_cohort.read_target(ctx)
    return join(read_predictions(path), cohort, target, ordered=ctx.params["ordered"])


def _called(joined: "Joined", run: "RunReferences", given: Mapping[str, Any]) -> "Joined":
    """The classes called from the operating threshold on."""
    return replace(joined, rows=_calling(joined.rows, run, given))


def _calling(rows: "Rows", run: "RunReferences", given: Mapping[str, Any]) -> "Rows":
    from wsi_tools.evaluation import calling
    from wsi_tools.metrics import ClassRows

    typed = given["threshold"]
    if isinstance(rows, ClassRows):
        return calling(rows, run.thresholds if typed is None else {"*": typed})
    return rows


def _question(ctx: typer.Context, joined: "Joined", run: "RunReferences") -> "Question":
    from wsi_tools.evaluation import Question
    from wsi_tools.metrics import PatientDraws

    given = ctx.params
    other = given["against"]
    return Question(
        draws=PatientDraws(given["draws"], given["seed"]),
        terms=_terms(joined.rows, run, given),
        by=tuple(given["by"] or ()),
        against=_calling(_joined(ctx, other).rows, run, given) if other else None,
    )


def _terms(rows: "Rows", run: "RunReferences", given: Mapping[str, Any]) -> "FollowUpTerms":
    """References of every fold, and whether risks may be pooled."""
    from wsi_tools.evaluation import of_other_folds
    from wsi_tools.metrics import FollowUpTerms, Reference, SurvivalRows

    if not isinstance(rows, SurvivalRows):
        return FollowUpTerms()
    known = dict(run.folds)
    if not known and (known := of_other_folds(rows)):
        terminal.say("censoring of each fold: from the patients of the other folds")
    if given["cut"] is not None:
        known = {fold: replace(each, cut=given["cut"]) for fold, each in known.items()}
        known.setdefault("*", Reference(cut=given["cut"]))
    terms = FollowUpTerms(known, _comparable(run, given), tuple(given["horizon"] or ()))
    _say_unknown(rows, terms)
    return terms


def _comparable(run: "RunReferences", given: Mapping[str, Any]) -> bool:
    """Whether the risks of all folds are on one scale."""
    if given["loss"] not in (None, *LOSSES):
        raise InputError(f"--loss {given['loss']}: choose from {', '.join(LOSSES)}")
    if given["loss"] is not None:
        return bool(given["loss"] == "nll")
    return run.tasks == {"survival-nll"}


def _say_unknown(rows: "Rows", terms: "FollowUpTerms") -> None:
    """Tell which metrics will be missing, and what would mend it."""
    folds = [name for name, _ in rows.folds()]
    known = {name: terms.of(name) for name in folds}
    if missing := [name for name, each in known.items() if each is None or not each.tau]:
        terminal.warn(
            f"fold {', '.join(missing)}: the training patients are not known, so Uno's C and the "
            "AUC are undefined; name the run with --reference"
        )
    if any(each is None or each.cut is None for each in known.values()):
        terminal.warn("no log-rank test: the training fold's median risk is not known; give --cut")
    if len(folds) > 1 and not terms.comparable:
        terminal.say("no pooled C: risks of several folds are on one scale with --loss nll alone")


def _say_joined(joined: "Joined") -> None:
    """Tell who is evaluated, who is not, and where there are few."""
    import numpy as np

    rows = joined.rows
    folds = [name for name, _ in rows.folds()]
    patients = terminal.counted(len(np.unique(rows.patient)), "patient")
    terminal.say(f"{patients} in {terminal.counted(len(folds), 'fold')}")
    for left_out, why in (
        (joined.strangers, "are not in the cohort"),
        (joined.unlabelled, "have no value"),
    ):
        if left_out:
            terminal.warn(f"{len(left_out)} predicted {why}, {left_out[0]} first; left out")
    for what, count in _counts(rows).items():
        if count < FEW:
            terminal.warn(f"{count} patients {what}: intervals will be wide, and rough")


def _counts(rows: "Rows") -> dict[str, int]:
    """Patients of each class, or with the event."""
    import numpy as np

    from wsi_tools.metrics import ClassRows, SurvivalRows

    if isinstance(rows, ClassRows):
        by_class = {f"of {name}": rows.truth == k for k, name in enumerate(rows.classes)}
        return {name: len(np.unique(rows.patient[of])) for name, of in by_class.items()}
    if isinstance(rows, SurvivalRows):
        return {"with the event": len(np.unique(rows.patient[rows.event]))}
    return {}


def _deliver(written: list[Path], given: Mapping[str, Any]) -> None:
    """The tables' paths; as JSON, the lines of the metrics."""
    if not given["json"]:
        for path in written:
            terminal.deliver(str(path))
        return
    from wsi_tools.metrics.table import read_estimates

    for line in read_estimates(written[0]):
        terminal.deliver({k: None if v != v else v for k, v in asdict(line).items()})
