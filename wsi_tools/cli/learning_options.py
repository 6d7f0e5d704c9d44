"""The options of `train` and `predict`: which model, how it learns, from what, with what means."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_tools.cli.cohort import CohortFile
from wsi_tools.cli.options import option


class Sources:
    """Features and labels."""

    project: Annotated[
        Path | None,
        typer.Argument(
            help="The project: a folder of stores with features.",
            metavar="PROJECT",
            show_default=False,
            show_envvar=False,
        ),
    ] = None
    cohort: CohortFile = None
    skip_missing: Annotated[
        bool, option("Go on without slides that have no store.", "--skip-missing", panel="Cohort")
    ] = False


class WhichModel:
    """The model and the parts around it."""

    model: Annotated[
        str | None, option("See wsitools models.", panel="Model", default="the recipe's, or abmil")
    ] = None
    set: Annotated[
        list[str] | None,
        option("A parameter of the model or of a part.", panel="Model", metavar="NAME=VALUE"),
    ] = None
    encoder: Annotated[str | None, option("roformer.", panel="Model")] = None
    channel_fusion: Annotated[
        str | None, option("fluoroformer, mean or concat.", panel="Model")
    ] = None
    stabilize: Annotated[str | None, option("asmil.", panel="Model")] = None


class HowItLearns:
    """The loss, and classes that are not equally frequent."""

    loss: Annotated[
        str | None,
        option(
            "ce, mse, nll (a hazard per time bin) or cox.",
            panel="Target",
            default="what fits the task; nll for survival",
        ),
    ] = None
    bins: Annotated[int, option("Bins of time.", panel="Target", least=2)] = 4
    censor_in_bin: Annotated[
        str, option("half or end: what being censored inside a bin counts.", panel="Target")
    ] = "half"
    balance: Annotated[
        str, option("none, loss or sampler: make classes equally frequent.", panel="Target")
    ] = "none"
    ordered: Annotated[
        bool, option("The classes ascend as --classes names them.", "--ordered", panel="Target")
    ] = False


class WhatItReads:
    """Features and clinical columns."""

    features: Annotated[
        str | None, option("<grid>/<backbone>.", panel="Input", default="the only ones")
    ] = None
    min_tissue: Annotated[
        float, option("Least share of tissue in a tile.", panel="Input", default="as embedded")
    ] = 0.0
    level: Annotated[
        str, option("slide, or patient: all slides of one in a bag.", panel="Input")
    ] = "slide"
    table: Annotated[
        list[str] | None,
        option("Clinical columns that are one token.", panel="Input", metavar="NAME=COL,COL"),
    ] = None
    covariates: Annotated[
        str | None,
        option("Clinical columns that go into every tile.", panel="Input", metavar="COL,COL"),
    ] = None


class Folds:
    """Who trains, validates and tests."""

    splits: Annotated[
        Path | None,
        option(
            "A split of wsitools, CLAM or STAMP.",
            panel="Folds",
            metavar="FILE",
            default="made from the cohort",
        ),
    ] = None
    folds: Annotated[int, option("Folds of a split that is made.", panel="Folds", least=2)] = 5
    val: Annotated[
        float, option("Share of the patients that validates, in every fold.", panel="Folds")
    ] = 0.15
    site: Annotated[
        str | None,
        option("Test each site of this column as a whole.", panel="Folds", metavar="COL"),
    ] = None
    fold: Annotated[
        list[int] | None, option("Train this fold alone.", panel="Folds", default="all")
    ] = None
    seed: Annotated[int, option("Of the split, the weights and the order.", panel="Folds")] = 0
    seeds: Annotated[int, option("Train every fold so often.", panel="Folds", least=1)] = 1


class HowItTrains:
    """The recipe; what is not given comes from it."""

    recipe: Annotated[
        str | None,
        option(
            "clam, roformer, asmil, persam or fluoroformer: as the paper trained.", panel="Recipe"
        ),
    ] = None
    epochs: Annotated[int | None, option("At most.", panel="Recipe", default="50")] = None
    patience: Annotated[
        int | None,
        option("Epochs without a better validation; 0: never stop.", panel="Recipe", default="10"),
    ] = None
    monitor: Annotated[
        str | None,
        option("loss, accuracy or f1+auroc, on validation.", panel="Recipe", default="loss"),
    ] = None
    optimizer: Annotated[
        str | None, option("adamw, adam or sgd.", panel="Recipe", default="adamw")
    ] = None
    lr: Annotated[float | None, option("Learning rate.", panel="Recipe", default="2e-4")] = None
    weight_decay: Annotated[
        float | None, option("Weight decay.", panel="Recipe", default="1e-4")
    ] = None
    schedule: Annotated[
        str | None,
        option("cosine, plateau or constant.", panel="Recipe", default="cosine"),
    ] = None
    warmup: Annotated[
        float | None, option("Epochs of growing rate.", panel="Recipe", default="0")
    ] = None
    accumulate: Annotated[
        int | None, option("Bags per update.", panel="Recipe", default="1; 16 with cox")
    ] = None
    clip: Annotated[
        float | None, option("Largest norm of the gradient; 0: any.", panel="Recipe", default="0")
    ] = None
    max_bag: Annotated[
        int | None,
        option("Tiles drawn from a larger bag, in training alone.", panel="Recipe", default="all"),
    ] = None
    bag_tiles: Annotated[
        int | None,
        option(
            "Cut cases into random bags of so many tiles.", panel="Recipe", default="whole bags"
        ),
    ] = None
    precision: Annotated[
        str | None, option("auto, fp32 or bf16.", panel="Recipe", default="auto")
    ] = None


class Means:
    """Machine and patience."""

    device: Annotated[str, option("auto, cpu, cuda or cuda:N.", panel="Compute")] = "auto"
    jobs: Annotated[int, option("Folds at a time.", panel="Compute", least=1)] = 1
    cache_gb: Annotated[
        float,
        option("Memory for bags, on the device; of all jobs together.", panel="Compute", least=0),
    ] = 4.0
    tensorboard: Annotated[
        bool, option("Write curves for TensorBoard too.", "--tensorboard", panel="Compute")
    ] = False
    time_limit: Annotated[
        str | None,
        option("H:MM:SS or seconds; then stop in good order (75).", panel="Compute"),
    ] = None
    stall_limit: Annotated[
        float,
        option(
            "Seconds without a sign of life after which a fold fails.", panel="Compute", least=1
        ),
    ] = 900


class RunOutput:
    """The run's folder."""

    out: Annotated[
        Path | None, option("The run's folder.", "--out", "-o", panel="Output", metavar="DIR")
    ] = None
    overwrite: Annotated[
        bool, option("Begin anew where there is a run.", "--overwrite", panel="Output")
    ] = False
    resume: Annotated[
        bool, option("There must be something to continue.", "--resume", panel="Output")
    ] = False
    dry_run: Annotated[
        bool, option("Say what would be trained; write nothing.", "--dry-run", panel="Output")
    ] = False


class Trained:
    """What predicts, and on what."""

    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run, whose folds are averaged, or one fold of it.",
            metavar="RUN_OR_FOLD",
            show_default=False,
            show_envvar=False,
        ),
    ] = None
    project: Annotated[
        list[str] | None,
        typer.Argument(
            help="A project; with --from-slides also slides and folders.",
            metavar="PROJECT",
            show_default=False,
            show_envvar=False,
        ),
    ] = None
    cohort: Annotated[
        Path | None,
        option(
            "Which slides, whose, and clinical columns; no label is read.",
            panel="Input",
            metavar="FILE",
            default="all slides, each a patient's",
        ),
    ] = None
    skip_missing: Annotated[
        bool, option("Go on without slides that have no store.", "--skip-missing", panel="Input")
    ] = False


class FromSlides:
    """Features that are not there yet."""

    from_slides: Annotated[
        bool,
        option(
            "Prepare missing features as the training slides were.", "--from-slides", panel="Slides"
        ),
    ] = False
    stores: Annotated[
        Path | None,
        option(
            "The project that slides are prepared into.",
            panel="Slides",
            metavar="DIR",
            default="beside the predictions",
        ),
    ] = None
    weights: Annotated[
        str | None,
        option("Of the backbone: a file or folder.", panel="Slides", default="found by its name"),
    ] = None
    mpp_override: Annotated[
        float | None, option("µm/px of level 0, whatever the file says.", panel="Slides")
    ] = None
    workers: Annotated[int, option("Slides at a time.", panel="Slides", least=1)] = 1


class PredictionOutput:
    """What is said, and where."""

    out: Annotated[
        str | None,
        option(
            "The predictions, as CSV; - for stdout.", "--out", "-o", panel="Output", metavar="FILE"
        ),
    ] = None
    attention: Annotated[
        Path | None,
        option("Attention of every tile, a file per slide.", panel="Output", metavar="DIR"),
    ] = None
    attention_as: Annotated[str, option("csv or zarr.", panel="Output")] = "csv"
    overwrite: Annotated[
        bool, option("Replace other predictions.", "--overwrite", panel="Output")
    ] = False


class PredictionMeans:
    """With what."""

    device: Annotated[str, option("auto, cpu, cuda or cuda:N.", panel="Compute")] = "auto"
    precision: Annotated[
        str, option("auto (CPU fp32, CUDA bf16), fp32 or bf16.", panel="Compute")
    ] = "auto"
