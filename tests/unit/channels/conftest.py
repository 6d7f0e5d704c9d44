"""What is known of a multiplex slide, made of the names of its channels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wsi_tools.channels import read_panel
from wsi_tools.slide import Bounds, Channel, Layout, Level, SlideInfo


@pytest.fixture(scope="session")
def slide_with() -> Callable[..., SlideInfo]:
    """Describe a slide with these channels; `exposures_ms` by channel name."""

    def describe(*names: str, dtype: str = "uint8", exposures_ms=None, file="case.tif"):
        exposures_ms = exposures_ms or {}
        channels = tuple(
            Channel(index, name, dtype, exposures_ms.get(name)) for index, name in enumerate(names)
        )
        return SlideInfo(
            path=Path(file),
            reader="ome",
            vendor="ome-tiff",
            levels=(Level((64, 64), 1.0),),
            resolutions=(),
            resolution=None,
            bounds=Bounds(0, 0, 64, 64),
            channels=channels,
            layout=Layout(None, "none"),
            objective_power=None,
            tried=(),
            warnings=(),
            fingerprint="0",
            multiplex=True,
        )

    return describe


@pytest.fixture
def panel_of(tmp_path: Path) -> Callable[..., object]:
    """Write the lines of a table and read them as a panel."""

    def read(*lines: str, name: str = "panel.csv", encoding: str = "utf-8"):
        file = tmp_path / name
        file.write_text("\n".join(lines) + "\n", encoding=encoding)
        return read_panel(file)

    return read
