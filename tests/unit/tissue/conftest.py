"""Small slides made of an array of pixels, read back by the reader of plain images."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from wsi_tools.slide import Slide, open_slide

GLASS = (242, 240, 243)
EOSIN = (225, 150, 200)


@pytest.fixture
def slide_of(tmp_path: Path) -> Callable[..., Slide]:
    """Write uint8 (h, w, 3) pixels of so many µm as a picture and open it."""

    def write(pixels: np.ndarray, mpp: float = 4.0, name: str = "case") -> Slide:
        file = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(file)
        return open_slide(file, mpp_override=mpp)

    return write


@pytest.fixture
def channels_of(tmp_path: Path) -> Iterator[Callable[..., Slide]]:
    """Write named planes (h, w) of so many µm as an OME-TIFF and open it until the test ends."""
    opened = ExitStack()

    def write(planes: dict[str, np.ndarray], mpp: float = 4.0, name: str = "case") -> Slide:
        file = tmp_path / f"{name}.ome.tiff"
        metadata = {"axes": "CYX", "Channel": {"Name": list(planes)}}
        tifffile.imwrite(
            file, np.stack(list(planes.values())), photometric="minisblack", metadata=metadata
        )
        return opened.enter_context(open_slide(file, mpp_override=mpp))

    with opened:
        yield write


@pytest.fixture
def glass() -> Callable[[int, int], np.ndarray]:
    """Make bare glass with a little noise, uint8 (h, w, 3)."""

    def make(height: int, width: int) -> np.ndarray:
        noise = np.random.default_rng(0).integers(-1, 2, (height, width, 1))
        return (np.array(GLASS) + noise).astype(np.uint8)

    return make


@pytest.fixture
def section(glass) -> np.ndarray:
    """Make a pink square of 60 × 60 on glass of 100 × 120, with a hole of 20 × 20 in it."""
    pixels = glass(100, 120)
    pixels[20:80, 30:90] = EOSIN
    pixels[40:60, 50:70] = GLASS
    return pixels
