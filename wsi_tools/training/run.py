"""A whole run in this process: every fold in turn, then the summary."""

from pathlib import Path

from wsi_tools.execution import Report
from wsi_tools.training.experiment import Experiment
from wsi_tools.training.folder import RunFolder
from wsi_tools.training.summary import summarise
from wsi_tools.training.work import TrainingWork

__all__ = ["train"]


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def train(
    experiment: Experiment, out: Path, *, overwrite: bool = False, report: Report = _silent
) -> RunFolder:
    """Train every fold of an experiment that is not trained yet, and summarise the run.

    Args:
        experiment: what is trained.
        out: the run's folder.
        overwrite: begin anew where there is a run.
        report: told of progress.

    Raises:
        DataError: another request made the run there, or a fold cannot be learnt from.
        InputError: the parts of the design do not fit together.
    """
    run = RunFolder.of(out, experiment)
    run.claim(experiment, experiment.keys, overwrite=overwrite)
    work = TrainingWork(experiment, run)
    for key in experiment.keys:
        work(key, report)
    summarise(run, experiment)
    return run
