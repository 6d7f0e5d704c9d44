"""The overlay as a figure: what is shown, the colour bar, and a bar of so many microns."""

from dataclasses import dataclass
from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.frame import Frame
from wsi_tools.heatmap.lettering import FAINT, INK, Lettering
from wsi_tools.heatmap.scale import Scaled, ramp

__all__ = ["Caption", "figure", "scale_bar_um"]

Picture = NDArray[np.uint8]

MARGIN_PX = 24
LETTER_PX = 16
LINE_PX = 24
BAR_PX = (240, 12)  # the colour bar
LEAST_PX = 560  # wide enough for both bars
HEAD_PX = MARGIN_PX + 2 * LINE_PX
FOOT_PX = MARGIN_PX + LINE_PX + 2 * BAR_PX[1]
PAPER = 255
SHARE = 0.2  # of the picture's width that the scale bar may take


@dataclass(frozen=True)
class Caption:
    """What stands on a figure.

    Attributes:
        title: the first line, such as the slide's name.
        note: the second: which models, and what they predict.
        score: what the colours are of.
    """

    title: str
    note: str
    score: str


def figure(
    picture: Picture, frame: Frame, scale: Scaled, caption: Caption, *, colours: str = "viridis"
) -> Picture:
    """Frame an overlay with its caption, colour bar and scale bar; uint8 (h', w', 3)."""
    height, width, _ = picture.shape
    inner = max(width, LEAST_PX)
    page = np.full((HEAD_PX + height + FOOT_PX, inner + 2 * MARGIN_PX, 3), PAPER, np.uint8)
    page[HEAD_PX : HEAD_PX + height, MARGIN_PX : MARGIN_PX + width] = picture
    top = HEAD_PX + height + MARGIN_PX // 2
    page[top : top + BAR_PX[1], MARGIN_PX : MARGIN_PX + BAR_PX[0]] = _bar(colours)
    lettering = Lettering(page, LETTER_PX)
    _write_head(lettering, caption, inner)
    right = MARGIN_PX + inner
    scale_px = _write_scale(lettering, frame, (right, top))
    _write_bar(lettering, scale, caption.score, top, right - scale_px - LETTER_PX)
    return lettering.picture


def scale_bar_um(um: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above `um`."""
    power = 10.0 ** floor(log10(um))
    return max(part * power for part in (1, 2, 5) if part * power <= um * (1 + 1e-9))


def _bar(colours: str) -> Picture:
    """The colour bar, uint8 (h, w, 3)."""
    levels = np.rint(np.linspace(0, 255, BAR_PX[0])).astype(np.uint8)
    return np.broadcast_to(ramp(colours)[levels], (BAR_PX[1], BAR_PX[0], 3))


def _write_head(lettering: Lettering, caption: Caption, width: float) -> None:
    lines = ((caption.title, INK), (caption.note, FAINT))
    for number, (text, colour) in enumerate(lines):
        place = (MARGIN_PX, MARGIN_PX + number * LINE_PX + LETTER_PX * 0.6)
        lettering.write(place, lettering.shortened(text, width), colour=colour)


def _write_bar(lettering: Lettering, scale: Scaled, score: str, top: float, end: float) -> None:
    """The ends of the colour bar below it, and beside it, as far as `end`, what it is of."""
    below = top + BAR_PX[1] + LINE_PX * 0.85
    lettering.write((MARGIN_PX, below), f"{scale.lowest:.3g}", colour=FAINT)
    right = MARGIN_PX + BAR_PX[0]
    lettering.write((right, below), f"{scale.highest:.3g}", colour=FAINT, side="right")
    text = f"{score}, percentile" if scale.kind == "percentile" else score
    begin = right + LETTER_PX * 0.75
    lettering.write((begin, top + BAR_PX[1]), lettering.shortened(text, end - begin))


def _write_scale(lettering: Lettering, frame: Frame, corner: tuple[float, float]) -> float:
    """A bar that ends at the page's right side, and its length; give that in pixels."""
    right, top = corner
    um = scale_bar_um(SHARE * frame.size_px[0] * frame.um_per_px)
    length = um / frame.um_per_px
    lettering.box((right - length, top, right, top + BAR_PX[1] / 2), INK)
    text = f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"
    lettering.write((right, top + BAR_PX[1] + LINE_PX * 0.85), text, side="right")
    return length
