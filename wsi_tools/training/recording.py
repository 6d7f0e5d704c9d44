"""What is kept of a training after every epoch: state, history, curves for TensorBoard."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from wsi_tools.errors import UnavailableError
from wsi_tools.store.files import write_atomically
from wsi_tools.training.loop import Learning
from wsi_tools.training.state import save_state

__all__ = ["STATE_NAME", "Recorder", "recorder"]

STATE_NAME = "state.safetensors"


class Recorder(Protocol):
    """Called after every epoch."""

    def __call__(self, learning: Learning) -> None:
        """Keep where the training stands."""


@contextmanager
def recorder(folder: Path, *, tensorboard: bool = False) -> Iterator[Recorder]:
    """Write into a fold's folder after every epoch.

    Raises:
        UnavailableError: TensorBoard is asked for and not installed.
    """

    def keep(learning: Learning) -> None:
        save_state(folder / STATE_NAME, learning)
        write_atomically(folder / "history.csv", learning.history.csv().encode())

    if not tensorboard:
        yield keep
        return
    with _curves(folder / "tensorboard") as draw:

        def keep_and_draw(learning: Learning) -> None:
            keep(learning)
            draw(learning)

        yield keep_and_draw


@contextmanager
def _curves(folder: Path) -> Iterator[Recorder]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UnavailableError(
            "--tensorboard: is not installed; pip install 'wsitools[tensorboard]'"
        ) from None

    def draw(learning: Learning) -> None:
        epoch = asdict(learning.history.epochs[-1])
        number = epoch.pop("number")
        for name, value in epoch.items():
            if value is not None:
                writer.add_scalar(name, value, number)

    with SummaryWriter(folder) as writer:
        yield draw
