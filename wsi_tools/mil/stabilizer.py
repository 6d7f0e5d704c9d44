"""ASMIL's stabiliser: a slow copy of the scoring half steadies any attention model.

Ye et al.; ICLR 2026, arXiv:2603.06658. The anchor is the paper's by default: a copy that follows by
exponential moving average, m = 0.999. ``anchor="frozen", start="random"`` is what the released code
does, whose update never runs. The paper's β is unknown to us: 0.1 is our default.
"""

import copy
from collections.abc import Callable
from typing import Literal, Self

import torch
from torch import Tensor, nn

from wsi_tools.mil.bag import AttentionMIL, Bag, MILModel, MILOutput
from wsi_tools.mil.layers import normalised_sigmoid, softmax
from wsi_tools.mil.options import require_choice

__all__ = ["Stabilized", "distillation", "move_average"]


def distillation(
    scores: Tensor, target: Tensor, reduction: Literal["sum", "mean_all"] = "sum"
) -> Tensor:
    """How far the softmax of ``(..., N)`` scores is from the target weights ``(..., N)``.

    ``sum`` is the divergence KL(target ‖ softmax), summed over the tiles, averaged over the rows
    (the paper). ``mean_all`` is the cross entropy averaged over tiles and rows (the released code),
    whose weight shrinks with the bag.
    """
    log_weights = scores.log_softmax(dim=-1, dtype=target.dtype)
    if reduction == "mean_all":
        return -(target * log_weights).mean()
    return (torch.xlogy(target, target) - target * log_weights).sum(dim=-1).mean()


@torch.no_grad()
def move_average(average: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move every parameter of `average` to ``m · average + (1 - m) · online``."""
    for slow, fast in zip(average.parameters(), online.parameters(), strict=True):
        slow.lerp_(fast.to(slow.dtype), 1.0 - momentum)


class Stabilized(MILModel):
    """An attention model and its anchor; logits, scores and attention are the model's own.

    Adds the auxiliary loss ``stability`` in training, and in evaluation where a target is given:
    `beta` times the divergence of the model's attention from the anchor's normalised sigmoid.

    Args:
        build: makes the model; called a second time for an anchor with a random start.
        beta: weight of the divergence.
        temperature: divides the anchor's scores.
        reduction: see `distillation`.
        anchor: ``ema`` follows the model after each step, ``frozen`` stays as it started.
        start: the anchor starts as a ``copy`` of the model or at ``random``.
        momentum: m of the moving average; it warms up as min(m, (1 + t) / (10 + t)).
        anchor_weights: what the anchor's scores become, ``sigmoid`` (normalised) or ``softmax``.
    """

    steps: Tensor

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        build: Callable[[], AttentionMIL],
        *,
        beta: float = 0.1,
        temperature: float = 0.5,
        reduction: Literal["sum", "mean_all"] = "sum",
        anchor: Literal["ema", "frozen"] = "ema",
        start: Literal["copy", "random"] = "copy",
        momentum: float = 0.999,
        anchor_weights: Literal["sigmoid", "softmax"] = "sigmoid",
    ) -> None:
        super().__init__()
        require_choice("reduction", reduction, ("sum", "mean_all"))
        require_choice("start", start, ("copy", "random"))
        self.beta, self.temperature, self.momentum = beta, temperature, momentum
        self.reduction: Literal["sum", "mean_all"] = reduction
        self.follows = require_choice("anchor", anchor, ("ema", "frozen")) == "ema"
        kinds = ("sigmoid", "softmax")
        self.sigmoid = require_choice("anchor_weights", anchor_weights, kinds) == "sigmoid"
        self.model = build()
        self.anchor = _resting(copy.deepcopy(self.model) if start == "copy" else build())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        if not hasattr(type(self), "card"):
            self.card = self.model.card

    @property
    def takes_markers(self) -> bool:
        """Whether the stabilised model reads ``(N, M, D)`` features."""
        return self.model.takes_markers

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the model; the anchor always evaluates."""
        super().train(mode)
        self.anchor.eval()
        return self

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """The model's answer, with the stability loss."""
        scored = self.model.score(bag)
        output = self.model.read_out(scored, self.model.normalise(scored.scores), target)
        if not self.training and target is None:
            return output
        divergence = distillation(scored.scores, self.anchor_attention(bag), self.reduction)
        return output.adding("stability", self.beta * divergence)

    @torch.no_grad()
    def anchor_attention(self, bag: Bag) -> Tensor:
        """What the model's attention is drawn to: ``(..., N)``, each row summing to one."""
        scores = self.anchor.score(bag).scores
        if self.sigmoid:
            return normalised_sigmoid(scores, self.temperature)
        return softmax(scores / self.temperature)

    def after_step(self) -> None:
        """Let the anchor follow the model."""
        self.model.after_step()
        if self.follows:
            self.steps += 1
            warm = (1 + self.steps.item()) / (10 + self.steps.item())
            move_average(self.anchor, self.model, min(self.momentum, warm))

    def wrapped(self, around: Callable[[AttentionMIL], AttentionMIL]) -> Self:
        """Put a fusion or an encoder around model and anchor, each with its own copy.

        A copy for a random start too: an anchor that sees other tiles says nothing of these.
        """
        self.model = around(self.model)
        self.anchor = _resting(copy.deepcopy(around(self.anchor)))
        return self


def _resting(anchor: AttentionMIL) -> AttentionMIL:
    return anchor.requires_grad_(requires_grad=False).eval()
