"""The attention among markers as a picture: a row asks, a column receives."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_tools.heatmap.lettering import FAINT, INK, Lettering
from wsi_tools.heatmap.scale import ramp
from wsi_tools.heatmap.scores import MarkerMatrix

__all__ = ["matrix_picture"]

Picture = NDArray[np.uint8]

CELL_PX = 56
MARGIN_PX = 24
LETTER_PX, LINE_PX = 16, 24
BAR_PX, GAP_PX = 12, 10  # the colour bar's width, and the gap before it
LONGEST_PX = 180  # of a marker's name
LEAST_PX = 560  # of the page: the lines at its head
NUMBERED = 16  # markers up to which cells carry their numbers
PAPER = 255
LIGHT = (255, 255, 255)
DARK_BELOW = 140  # luminance of a cell on which letters are light


def matrix_picture(
    title: str, note: str, matrix: MarkerMatrix, colours: str = "viridis"
) -> Picture:
    """Draw the matrix with its names, numbers and colour bar; uint8 (h, w, 3).

    Args:
        title: the first line.
        note: the second.
        matrix: the attention.
        colours: a ramp, from 0 to the largest attention.
    """
    ruler = Lettering(np.zeros((1, 1, 3), np.uint8), LETTER_PX)
    names = [ruler.shortened(name, LONGEST_PX) for name in matrix.names]
    room = round(max(map(ruler.width, names))) + LETTER_PX
    left, top = MARGIN_PX + room, MARGIN_PX + 2 * LINE_PX + room
    side = len(names) * CELL_PX
    width = max(left + side + 4 * MARGIN_PX, LEAST_PX)
    page = np.full((top + side + MARGIN_PX, width, 3), PAPER, np.uint8)
    cells = _cells(matrix, colours)  # (M, M, 3)
    page[top : top + side, left : left + side] = np.kron(cells, _square())
    bar = left + side + GAP_PX
    page[top : top + side, bar : bar + BAR_PX] = _bar(side, colours)
    lettering = Lettering(page, LETTER_PX)
    for number, (text, colour) in enumerate(((title, INK), (note, FAINT))):
        place = (MARGIN_PX, MARGIN_PX + number * LINE_PX + LETTER_PX * 0.6)
        lettering.write(place, lettering.shortened(text, width - 2 * MARGIN_PX), colour=colour)
    _name(lettering, names, (left, top))
    _number_bar(lettering, matrix, (bar + BAR_PX, top, side))
    if len(names) <= NUMBERED:
        _number_cells(lettering, matrix, cells, (left, top))
    return lettering.picture


def _cells(matrix: MarkerMatrix, colours: str) -> Picture:
    """The colours of the cells, uint8 (M, M, 3)."""
    part = np.nan_to_num(matrix.values / max(_largest(matrix), 1e-12))
    return np.asarray(ramp(colours)[np.rint(part * 255).astype(np.uint8)])


def _largest(matrix: MarkerMatrix) -> float:
    return float(np.nanmax(matrix.values, initial=0.0))


def _square() -> NDArray[np.uint8]:
    """One cell, uint8 (px, px, 1)."""
    return np.ones((CELL_PX, CELL_PX, 1), np.uint8)


def _bar(height: int, colours: str) -> Picture:
    """The colour bar, uint8 (h, w, 3), the largest on top."""
    levels = np.rint(np.linspace(255, 0, height)).astype(np.uint8)
    return np.broadcast_to(ramp(colours)[levels][:, None], (height, BAR_PX, 3))


def _name(lettering: Lettering, names: list[str], corner: tuple[int, int]) -> None:
    """The asking markers beside the rows, the receiving ones above the columns."""
    left, top = corner
    for place, name in enumerate(names):
        middle = (place + 0.5) * CELL_PX
        below = top + middle + LETTER_PX * 0.35
        lettering.write((left - LETTER_PX / 2, below), name, side="right")
        lettering.write_upwards((left + middle + LETTER_PX * 0.35, top - LETTER_PX / 2), name)


def _number_bar(
    lettering: Lettering, matrix: MarkerMatrix, place: tuple[float, float, float]
) -> None:
    x, top, side = place
    lettering.write((x + 6, top + LETTER_PX * 0.75), f"{_largest(matrix):.2f}", colour=FAINT)
    lettering.write((x + 6, top + side), "0", colour=FAINT)


def _number_cells(
    lettering: Lettering, matrix: MarkerMatrix, cells: Picture, corner: tuple[int, int]
) -> None:
    luminance = cv2.cvtColor(cells, cv2.COLOR_RGB2GRAY)
    for (row, column), value in np.ndenumerate(matrix.values):
        x = corner[0] + (column + 0.5) * CELL_PX
        y = corner[1] + (row + 0.5) * CELL_PX + LETTER_PX * 0.35
        colour = LIGHT if luminance[row, column] < DARK_BELOW else INK
        lettering.write((x, y), f"{value:.2f}", colour=colour, side="middle")
