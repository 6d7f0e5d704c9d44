"""The row of segmentation: a whole large slide, beside CLAM's recipe in OpenSlide and OpenCV.

Both sides read, threshold, close, drop what is small and give outlines with holes in level-0
pixels; neither writes a file. Both read the same level; ours looks for ink besides, and reads a
finer level where there may be some.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from openslide import OpenSlide

from speed.row import Bench, Fact, Measured, Row
from speed.timing import Contender, alternate
from wsi_tools.slide import open_slide
from wsi_tools.tissue import segment

__all__ = ["ROWS", "our_segmentation"]

Mask = NDArray[np.uint8]

DOWNSAMPLE = 64  # CLAM's, of which it takes the best level there is
MEDIAN_PX, SATURATION, CLOSE_PX = 7, 8, 4  # CLAM's defaults for resections
PATCH_PX, LEAST_PIECE, LEAST_HOLE, MOST_HOLES = 512, 100, 16, 8  # the same; patches of level 0
LEAST_AGREEMENT = 0.9  # intersection over union; rims and small pieces are matters of taste


@dataclass(frozen=True)
class Found:
    """What a recipe gives.

    Attributes:
        mask: uint8 (h, w) at the level read, not 0 where there is tissue.
        outlines: of pieces and holes that are large enough, in level-0 pixels.
    """

    mask: Mask
    outlines: tuple[NDArray[np.float64], ...]


def clam_recipe(slide: OpenSlide) -> Found:
    """Tissue as M. Lu et al. (Nat. Biomed. Eng. 5 (2021) 555) find it, with its outlines."""
    level = slide.get_best_level_for_downsample(DOWNSAMPLE)
    picture = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    saturation = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1]
    smooth = cv2.medianBlur(saturation, MEDIAN_PX)
    _, mask = cv2.threshold(smooth, SATURATION, 255, cv2.THRESH_BINARY)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((CLOSE_PX, CLOSE_PX), np.uint8))
    contours, hierarchy = cv2.findContours(closed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    downsample = slide.level_downsamples[level]
    kept = _large_enough(contours, hierarchy, (PATCH_PX / downsample) ** 2)
    return Found(closed, tuple(contours[index] * downsample for index in kept))


def _large_enough(contours: Sequence[Mask], hierarchy: Mask, patch_px: float) -> list[int]:
    """Pieces by their area less their holes, and the largest holes of each; areas are patches."""
    areas = np.array([cv2.contourArea(contour) for contour in contours]) / patch_px
    outer = hierarchy[0, :, 3]  # the piece that a hole is in; -1 of a piece
    holes: dict[int, list[int]] = defaultdict(list)
    for hole in sorted(np.flatnonzero(outer >= 0), key=lambda index: -areas[index]):
        holes[outer[hole]].append(hole)
    pieces = [
        piece
        for piece in np.flatnonzero(outer < 0)
        if areas[piece] - areas[holes[piece]].sum() > LEAST_PIECE
    ]
    inside = [
        hole for piece in pieces for hole in holes[piece][:MOST_HOLES] if areas[hole] > LEAST_HOLE
    ]
    return [*pieces, *inside]


def our_segmentation(path: Path) -> Contender:
    """Ours, of a slide that is open."""

    def contender(stack: ExitStack) -> Callable[[], object]:
        slide = stack.enter_context(open_slide(path))
        return lambda: segment(slide)

    return contender


def segmented(bench: Bench) -> Measured:
    """Find the tissue of the large slide; its levels are in the page cache."""
    path = bench.slides.scan(bench.size.large)

    def clam(stack: ExitStack) -> Callable[[], object]:
        slide = stack.enter_context(OpenSlide(path))
        return lambda: clam_recipe(slide)

    pairs = alternate(our_segmentation(path), clam, size=bench.size)
    width, height = bench.size.large.size_px
    return Measured(pairs, (_agreement(path),), f"a slide of {width:,} × {height:,} px")


def _agreement(path: Path) -> Fact:
    """Intersection over union of the two masks, at the resolution of ours."""
    with open_slide(path) as slide, OpenSlide(path) as plain:
        own = segment(slide).mask.astype(bool)
        other = clam_recipe(plain).mask
    other = cv2.resize(other, own.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    share = float((own & other).sum() / (own | other).sum())
    return Fact("intersection over union", share >= LEAST_AGREEMENT, share)


ROWS = (
    Row(
        "segment",
        "segment a large slide, warm",
        "CLAM's recipe at its level in OpenSlide + OpenCV",
        4,
        8,
        segmented,
    ),
)
