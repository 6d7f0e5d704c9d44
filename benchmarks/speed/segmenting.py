"""The row of segmentation: a whole large slide, beside CLAM's recipe in OpenSlide and OpenCV."""

from collections.abc import Callable
from contextlib import ExitStack
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
LEAST_AGREEMENT = 0.9  # intersection over union; rims and small pieces are matters of taste


def clam_recipe(slide: OpenSlide) -> Mask:
    """Tissue as M. Lu et al. (Nat. Biomed. Eng. 5 (2021) 555) find it, with its outlines."""
    level = slide.get_best_level_for_downsample(DOWNSAMPLE)
    picture = slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB")
    saturation = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2HSV)[..., 1]
    smooth = cv2.medianBlur(saturation, MEDIAN_PX)
    _, mask = cv2.threshold(smooth, SATURATION, 255, cv2.THRESH_BINARY)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((CLOSE_PX, CLOSE_PX), np.uint8))
    cv2.findContours(closed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return closed


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
        other = clam_recipe(plain)
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
