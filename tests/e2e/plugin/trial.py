"""What another package may install beside wsitools: readers on trial, and a backbone of one layer.

Each reader is OpenSlide's with one habit more, so that the command is tried as it is installed.
"""

import os
import time
from pathlib import Path

from wsi_tools.embedding.cards import Card
from wsi_tools.slide.openslide import OpenSlideReader

ONE_LAYER = Card(
    name="one-layer",
    source="timm:one-layer",
    width=8,
    px=24,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    interpolation="bilinear",
    builder="trial:one_layer",
)


def one_layer():
    """A network that costs next to nothing."""
    from torch import nn

    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 8))


class CountingReader(OpenSlideReader):
    """Appends every rectangle it decodes, as ``x y width height level``, to $TRIAL_READS."""

    def read(self, x, y, width, height, level):
        with Path(os.environ.get("TRIAL_READS", os.devnull)).open("a") as log:
            log.write(f"{x} {y} {width} {height} {level}\n")
        return super().read(x, y, width, height, level)

    def reopen(self):
        return type(self)(self._path)


class BuggyReader(OpenSlideReader):
    """Makes a mistake of its own on every picture."""

    def read(self, x, y, width, height, level):
        if width > 1:
            return width / 0
        return super().read(x, y, width, height, level)


class CrashingReader(OpenSlideReader):
    """Takes its process along when it decodes a picture of a file called ``crash``."""

    def read(self, x, y, width, height, level):
        if self._path.stem == "crash" and width > 1:
            os.abort()
        return super().read(x, y, width, height, level)


class HangingReader(OpenSlideReader):
    """Never comes back when it decodes a picture of a file called ``hang``."""

    def read(self, x, y, width, height, level):
        while self._path.stem == "hang" and width > 1:
            time.sleep(60)
        return super().read(x, y, width, height, level)


class SlowReader(OpenSlideReader):
    """Takes two milliseconds longer for every rectangle, so that a run can be met half-way."""

    def read(self, x, y, width, height, level):
        time.sleep(0.002)
        return super().read(x, y, width, height, level)

    def reopen(self):
        return type(self)(self._path)
