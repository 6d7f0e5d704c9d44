"""How each fold learnt: loss by epoch, and the epoch that was kept."""

from collections.abc import Iterator

from wsi_tools.report.charts import Axis, Chart
from wsi_tools.report.figures import Figure, number
from wsi_tools.report.run import RunRecord, Training

__all__ = ["learning_curves"]

LEGEND = (("c1", "training"), ("c2 dashed", "validation"))


def learning_curves(run: RunRecord) -> Iterator[Figure]:
    """A figure per training, all with one vertical axis."""
    losses = [loss for each in run.trainings for loss in _losses(each)]
    y = Axis.around("loss", losses, zero=True)
    for number_of, training in enumerate(run.trainings):
        yield _figure(training, y, f"learning-{number_of}")


def _figure(training: Training, y: Axis, key: str) -> Figure:
    origin, epochs = training.checkpoint.origin, training.epochs
    x = Axis.around("epoch", [1, len(epochs)], zero=True, whole=True)
    title = training.name if "/" in training.name else f"Fold {training.name}"
    validation = "" if origin.val_loss is None else f", validation loss {number(origin.val_loss)}"
    about = (
        f"Loss over {len(epochs)} epochs; epoch {origin.epoch + 1} was kept: training loss "
        f"{number(epochs[origin.epoch].train_loss)}{validation}."
    )
    chart = Chart(key, f"{title}: loss by epoch", about, x, y)
    chart.rule(origin.epoch + 1, f"kept: {origin.epoch + 1}")
    chart.line([(each.number + 1, each.train_loss) for each in epochs], "c1")
    validated = [(e.number + 1, e.val_loss) for e in epochs if e.val_loss is not None]
    if validated:
        chart.line(validated, "c2", dashed=True)
    return Figure(title, about, chart.markup(), LEGEND if validated else LEGEND[:1])


def _losses(training: Training) -> Iterator[float]:
    for epoch in training.epochs:
        yield epoch.train_loss
        if epoch.val_loss is not None:
            yield epoch.val_loss
