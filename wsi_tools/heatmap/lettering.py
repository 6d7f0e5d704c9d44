"""Words on pictures, in the typeface that Pillow carries."""

from math import ceil
from typing import Literal
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Lettering"]

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Side = Literal["left", "middle", "right"]

INK: Colour = (32, 33, 36)
FAINT: Colour = (112, 117, 122)
PAPER = 255
MICRO = "µ"  # the typeface has none: a u with a tail
STEM, TAIL = 0.1, 0.22  # width of its stems and length of the tail, in heights of the letters


class Lettering:
    """A picture that is written and drawn on.

    Args:
        picture: uint8 (h, w, 3); it is copied.
        size_px: of the letters.
    """

    def __init__(self, picture: Picture, size_px: int = 16) -> None:
        self._image = Image.fromarray(picture)
        self._draw = ImageDraw.Draw(self._image)
        self._font = ImageFont.load_default(size_px)
        self.size_px = size_px

    @property
    def picture(self) -> Picture:
        """What has been drawn; uint8 (h, w, 3)."""
        return np.asarray(self._image).copy()

    def width(self, text: str) -> float:
        """How long a line of text is, in pixels."""
        return float(self._font.getlength(_drawn(text)))

    def shortened(self, text: str, width: float) -> str:
        """The text, or its beginning and three dots where it is longer than `width` pixels."""
        if self.width(text) <= width:
            return text
        while text and self.width(text + "...") > width:
            text = text[:-1]
        return text + "..."

    def write(
        self, xy: tuple[float, float], text: str, *, colour: Colour = INK, side: Side = "left"
    ) -> None:
        """Write a line whose left end, middle or right end lies at `xy`, on the baseline."""
        x = xy[0] - {"left": 0.0, "middle": 0.5, "right": 1.0}[side] * self.width(text)
        plain = _drawn(text)
        self._draw.text((x, xy[1]), plain, fill=colour, font=self._font, anchor="ls")
        for place, letter in enumerate(text):
            if letter == MICRO:
                self._write_tail((x + self._font.getlength(plain[:place]), xy[1]), colour)

    def write_upwards(self, xy: tuple[float, float], text: str, *, colour: Colour = INK) -> None:
        """Write a line that begins at `xy` and goes up, its baseline on the right."""
        size = ceil(self.width(text)) + 1, 2 * self.size_px
        line = Lettering(np.full((size[1], size[0], 3), PAPER, np.uint8), self.size_px)
        line.write((0, 1.5 * self.size_px), text, colour=colour)
        turned = Image.fromarray(np.rot90(line.picture).copy())
        self._image.paste(turned, (round(xy[0] - 1.5 * self.size_px), round(xy[1] - size[0])))

    def box(self, box: tuple[float, float, float, float], colour: Colour) -> None:
        """Fill the pixels from (left, top) to before (right, bottom)."""
        left, top, right, bottom = map(round, box)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def _write_tail(self, xy: tuple[float, float], colour: Colour) -> None:
        """What makes a µ of the u whose cell begins at `xy`: its left stem goes on downwards."""
        stem = self._font.getbbox("u", anchor="ls")[0]
        width = max(1, round(self.size_px * STEM))
        left = ceil(xy[0] + stem) + 1  # the box begins a pixel before the ink
        self.box((left, xy[1] - 1, left + width, xy[1] + self.size_px * TAIL), colour)


def _drawn(text: str) -> str:
    """A text in letters of the typeface, one for one: it has no accents, and no µ."""
    return "".join("u" if letter == MICRO else normalize("NFD", letter)[0] for letter in text)
