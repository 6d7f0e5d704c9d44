"""What the numbers mean: per task the width of the logits, the loss, and how they are read."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from wsi_tools.errors import DataError
from wsi_tools.tasks.classification import Balance, Classification, Multilabel
from wsi_tools.tasks.cox import CoxSurvival
from wsi_tools.tasks.follow_up import follow_up
from wsi_tools.tasks.hazards import CensorInBin, DiscreteSurvival
from wsi_tools.tasks.regression import Regression
from wsi_tools.tasks.task import Task

__all__ = [
    "AnyTask",
    "Balance",
    "CensorInBin",
    "Classification",
    "CoxSurvival",
    "DiscreteSurvival",
    "Multilabel",
    "Regression",
    "Task",
    "follow_up",
    "task_from_json",
    "task_to_json",
]

AnyTask = Classification | Multilabel | Regression | DiscreteSurvival | CoxSurvival


def task_to_json(task: AnyTask) -> dict[str, Any]:
    """The task as JSON values, for a checkpoint."""
    return asdict(task)


def task_from_json(values: Mapping[str, Any]) -> AnyTask:
    """The task that `task_to_json` wrote.

    Raises:
        DataError: a field is missing, unknown, of another type, or makes no sense.
    """
    border: TypeAdapter[AnyTask] = TypeAdapter(Annotated[AnyTask, Field(discriminator="kind")])
    try:
        return border.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"task {place}: {first['msg']}; the checkpoint was edited, take the original"
        ) from None
