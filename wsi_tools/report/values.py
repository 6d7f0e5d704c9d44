"""The figure of regression: what was predicted, beside what it was."""

from wsi_tools.metrics import ValueRows
from wsi_tools.report.charts import Axis, Chart
from wsi_tools.report.figures import Figure, look_of

__all__ = ["value_figure"]


def value_figure(rows: ValueRows, column: str) -> Figure:
    """A dot per test patient."""
    title = "Predicted and true values"
    about = f"Predicted {column} by its true value, a dot for each of {len(rows)} test patients."
    both = [*rows.truth.tolist(), *rows.value.tolist()]
    x, y = (Axis.around(f"{word} {column}", both) for word in ("true", "predicted"))
    chart = Chart("values", title, about, x, y)
    chart.diagonal()
    folds = list(rows.folds())
    for place, (fold, at) in enumerate(folds):
        points = list(zip(rows.truth[at].tolist(), rows.value[at].tolist(), strict=True))
        hints = [f"{patient}, fold {fold}" for patient in rows.patient[at].tolist()]
        chart.dots(points, look_of(place, len(folds)), hints)
    shown = tuple(
        (look_of(place, len(folds)), f"fold {name}") for place, (name, _) in enumerate(folds)
    )
    legend = shown if len(folds) <= 8 else ()
    return Figure(
        title, f"{about} On the diagonal, the prediction is right.", chart.markup(), legend
    )
