"""Rows of training: a step of gated attention MIL in bfloat16, beside a plain one in float32."""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional

from speed.row import Bench, Fact, Measured, Row
from speed.timing import alternate
from wsi_tools.execution import available_cores
from wsi_tools.mil import Bag, create_model
from wsi_tools.prediction.computing import Computing
from wsi_tools.training.optimisation import make_optimizer
from wsi_tools.training.recipe import Recipe

__all__ = ["ROWS", "PlainABMIL", "measured_step", "plain_step"]

HIDDEN, ATTENTION = 512, 256
LEAST_COSINE = 0.99  # between the gradients of a float32 step and of one in bfloat16


class PlainABMIL(nn.Module):
    """Gated attention MIL (Ilse et al. 2018, eq. 9) as one would write it down."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, HIDDEN)
        self.tanh, self.gate = nn.Linear(HIDDEN, ATTENTION), nn.Linear(HIDDEN, ATTENTION)
        self.weight = nn.Linear(ATTENTION, 1)
        self.classifier = nn.Linear(HIDDEN, classes)

    def forward(self, tiles: Tensor) -> Tensor:
        """``(N, dim)`` → ``(classes,)``."""
        hidden = torch.relu(self.project(tiles))  # (N, HIDDEN)
        gated = torch.tanh(self.tanh(hidden)) * torch.sigmoid(self.gate(hidden))
        attention = torch.softmax(self.weight(gated), dim=0)  # (N, 1)
        return self.classifier((attention * hidden).sum(dim=0))


def plain_step(features: Tensor) -> Callable[[ExitStack], Callable[[], object]]:
    """A step of the plain model on features ``(N, dim)`` float32."""

    def contender(stack: ExitStack) -> Callable[[], object]:
        torch.manual_seed(0)
        model, label = PlainABMIL(features.shape[1], 2), torch.tensor(1)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

        def work() -> None:
            optimiser.zero_grad()
            functional.cross_entropy(model(features), label).backward()
            optimiser.step()

        return work

    return contender


class OurStep:
    """A step of `gated-abmil` as training takes it, from features as they are stored."""

    def __init__(self, features: Tensor, precision: str) -> None:
        torch.manual_seed(0)
        dims = {"hidden_dim": HIDDEN, "attention_dim": ATTENTION}
        self.model = create_model("gated-abmil", features.shape[1], 2, **dims)
        self.computing = Computing("cpu", precision)
        self.optimiser = make_optimizer(self.model, Recipe(lr=1e-4))
        self.bag, self.label = Bag.of_slide(features), torch.tensor(1)

    def backward(self) -> None:
        """Forward and backward."""
        self.optimiser.zero_grad(set_to_none=True)
        with self.computing.autocast():
            output = self.model(self.computing.take(self.bag), self.label)
        loss = functional.cross_entropy(output.logits.float(), self.label)
        output.total(loss).backward()

    def __call__(self) -> None:
        """One step."""
        self.backward()
        self.optimiser.step()

    def gradient(self) -> Tensor:
        """Of all weights, as one vector."""
        self.backward()
        gradients = [each.grad for each in self.model.parameters()]
        return torch.cat([each.flatten() for each in gradients if each is not None])


def measured_step(bench: Bench, tiles: int) -> Measured:
    """One step on a bag of so many tiles."""
    torch.set_num_threads(available_cores())
    stored = torch.randn(tiles, bench.size.width, generator=torch.Generator().manual_seed(0)).half()
    exact, reduced = (OurStep(stored, precision).gradient() for precision in ("fp32", "bf16"))
    cosine = float(functional.cosine_similarity(exact, reduced, dim=0))
    plain = sum(each.numel() for each in PlainABMIL(bench.size.width, 2).parameters())
    facts = (
        Fact("cosine of the gradient to float32's", cosine >= LEAST_COSINE, cosine),
        Fact("as many weights", len(exact) == plain),
    )
    pairs = alternate(
        lambda stack: OurStep(stored, "bf16"), plain_step(stored.float()), size=bench.size
    )
    return Measured(pairs, facts, f"{tiles:,} tiles × {bench.size.width}")


def step_of_a_slide(bench: Bench) -> Measured:
    """A bag of ordinary size."""
    return measured_step(bench, bench.size.step_tiles[0])


def step_of_a_large_slide(bench: Bench) -> Measured:
    """A large bag."""
    return measured_step(bench, bench.size.step_tiles[1])


PLAIN = "a plain ABMIL step in torch, fp32"
ROWS = (
    Row("step", "ABMIL step in bf16", PLAIN, 3, 4.5, step_of_a_slide),
    Row("step-large", "the same on a large bag", PLAIN, 3, 4.5, step_of_a_large_slide),
)
