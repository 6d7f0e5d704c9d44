"""The validation figure that chooses the epoch to keep, lower is better."""

import numpy as np
from torch import Tensor

from wsi_tools.metrics.agreement import confusion
from wsi_tools.metrics.ranking import auroc
from wsi_tools.training.recipe import Monitor

__all__ = ["monitored"]


def monitored(monitor: Monitor, logits: Tensor, target: Tensor, loss: float) -> float:
    """The figure.

    Args:
        monitor: which.
        logits: ``(n, classes)`` of the validation cases; any width for ``loss``.
        target: ``(n,)`` class indices; anything for ``loss``.
        loss: the task's loss on them.
    """
    if monitor == "loss":
        return loss
    truth, prob = target.numpy(), logits.double().softmax(dim=-1).numpy()
    each_once = np.ones((1, len(truth)))
    called = confusion(truth, prob.argmax(axis=1), prob.shape[1], each_once)
    if monitor == "accuracy":
        return -float(called.accuracy().value[0])
    one_hot = truth[:, None] == np.arange(prob.shape[1])
    return -float(called.f1().value[0] + auroc(one_hot, prob, each_once).value[0])
