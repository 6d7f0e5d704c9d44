"""Published numbers: the folder, one case of it, and the table that ends a run."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wsi_tools.mil.original import translate

FLOAT32_ATOL = 2e-5  # a float32 run of the released code itself is up to 5e-6 away


class Case:
    """One golden file in one dtype: what went in, what must come out, and what was compared."""

    def __init__(self, path: Path, dtype: torch.dtype, record: Callable[[str, object], None]):
        with np.load(path, allow_pickle=False) as arrays:
            self.arrays = dict(arrays)
        self.meta = json.loads(str(self.arrays.pop("meta")))
        self.config = self.meta["config"]
        self.name, self.dtype, self._record = path.stem, dtype, record
        self.atol = self.meta["atol"] if dtype is torch.float64 else FLOAT32_ATOL
        self.open = {key for key in self.arrays if key.startswith(("out/", "grad/"))}

    def _tensor(self, key: str) -> Tensor:
        tensor = torch.from_numpy(self.arrays[key])
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def given(self, name: str) -> Tensor:
        """An input, floats in the case's dtype and ready for a gradient."""
        tensor = self._tensor(f"in/{name}")
        return tensor.requires_grad_() if tensor.is_floating_point() else tensor

    def expected(self, name: str) -> np.ndarray:
        return self.arrays[f"out/{name}"]

    def state(self, module: str | None = None) -> dict[str, Tensor]:
        """The released state dict, or of several the one of `module` (None: without a name)."""
        keys = [key.removeprefix("param/") for key in self.arrays if key.startswith("param/")]
        mark = "" if module is None else f"{module}::"
        own = [key for key in keys if (key.startswith(mark) if mark else "::" not in key)]
        return {key.removeprefix(mark): self._tensor(f"param/{key}") for key in own}

    def agree(self, name: str, found: Tensor | float) -> None:
        """Compare an output with ours, up to axes of length one."""
        self._agree(f"out/{name}", torch.as_tensor(found))

    def agree_input_gradient(self, name: str, tensor: Tensor) -> None:
        self._agree(f"grad/{name}", tensor.grad)

    def agree_parameter_gradients(
        self, model: nn.Module, keys: Mapping[str, str | None], prefix: str = ""
    ) -> None:
        """Compare the gradient of every weight that the file holds one for."""
        mark = f"grad/{prefix}param."
        ours = dict(model.named_parameters())
        for key in [key for key in self.arrays if key.startswith(mark)]:
            (name,) = translate({key.removeprefix(mark): torch.empty(0)}, keys)
            self._agree(key, ours[name].grad)

    def leave_out(self, *names: str) -> None:
        """Outputs that are another room's business; the caller says whose."""
        self.open -= {f"out/{name}" for name in names}

    def _agree(self, key: str, found: Tensor) -> None:
        expected, ours = self.arrays[key], found.detach().numpy()
        ours = ours.reshape(expected.shape)
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(ours[~finite], expected[~finite])
        error = float(np.abs(ours[finite] - expected[finite]).max(initial=0.0))
        quantity = key.removeprefix("out/")
        self._record("parity", (self.name, quantity, str(self.dtype).removeprefix("torch."), error))
        self.open.discard(key)
        assert error <= self.atol, f"{self.name} {quantity}: {error:.3g} > {self.atol:.3g}"


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture
def golden(
    dtype: torch.dtype,
    golden_file: Callable[[str], Path],
    record_property: Callable[[str, object], None],
) -> Iterator[Callable[[str], Case]]:
    """Open a case by name; a test that leaves an output of it uncompared fails."""
    opened: list[Case] = []

    def open_case(name: str) -> Case:
        opened.append(Case(golden_file(name), dtype, record_property))
        return opened[-1]

    yield open_case
    for case in opened:
        assert not case.open, f"{case.name}: never compared: {sorted(case.open)}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the largest error of each case, quantity and dtype."""
    errors: dict[tuple[str, str], dict[str, float]] = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "parity" and report.when == "call":
                case, quantity, dtype, error = value
                row = errors.setdefault((case, quantity), {})
                row[dtype] = max(error, row.get(dtype, 0.0))
    if errors:
        terminalreporter.section("parity: largest absolute error")
        terminalreporter.write_line(f"{'float64':>9}{'float32':>9}  case and quantity")
    for (case, quantity), row in sorted(errors.items()):
        cells = "".join(f"{row[d]:9.1e}" if d in row else " " * 9 for d in ("float64", "float32"))
        terminalreporter.write_line(f"{cells}  {case} {quantity}")
