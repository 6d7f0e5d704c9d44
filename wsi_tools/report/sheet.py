"""The contact sheet of a project: every slide's overlay, what it has, and what failed."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

from wsi_tools.errors import StoreError
from wsi_tools.report.pages import BUDGET_BYTES
from wsi_tools.report.pictures import data_uri, shrunk
from wsi_tools.store import FeatureStore, Project
from wsi_tools.store.layout import read_root
from wsi_tools.store.project import FailureRecord
from wsi_tools.tissue import TissueMask
from wsi_tools.tissue.overlay import overlay

__all__ = ["STATES", "SlideState", "contact_sheet"]

PICTURE_PX = 320  # longer side, where there is room
LEAST_PX = 64  # below, nobody can judge tissue: then there are no pictures at all
QUALITY = 72  # of WebP: outlines stay clean
CARD_BYTES = 1500  # of a slide's text in the page, at most as a rule
STATES = {
    "failed": "failed",
    "torn": "torn",
    "no-tissue": "no tissue",
    "no-tiles": "no tiles",
    "no-features": "no features",
    "complete": "complete",
}
"""What may become of a slide, the most pressing first."""


@dataclass(frozen=True)
class SlideState:
    """One slide of a project.

    Attributes:
        slide_id: the slide.
        state: one of `STATES`.
        facts: mpp, area and the like, as names and texts.
        grids: a line for each grid and its features.
        problem: the stage and the reason of a failure.
        mm2: tissue; 0 where none is known.
        tiles: of all grids.
        picture: the overlay as a data URI; empty where there is none.
        size: of the picture in pixels.
    """

    slide_id: str
    state: str
    facts: tuple[tuple[str, str], ...] = ()
    grids: tuple[str, ...] = ()
    problem: str = ""
    mm2: float = 0.0
    tiles: int = 0
    picture: str = ""
    size: tuple[int, int] = (0, 0)


def contact_sheet(project: Project) -> dict[str, Any]:
    """The values of the template, for all slides of a project that have a store or a failure.

    Raises:
        DataError: there is no such folder.
    """
    failures = {failure.slide_id: failure for failure in project.failures()}
    stores = {store.stem: store for store in project.stores()}
    names = sorted(failures.keys() | stores.keys())
    room = picture_bytes(len(names))
    slides = [_slide(name, stores.get(name), failures.get(name), room) for name in names]
    counts = Counter(slide.state for slide in slides)
    return {
        "title": project.path.resolve().name,
        "states": STATES,
        "slides": sorted(slides, key=lambda slide: list(STATES).index(slide.state)),
        "counts": {state: counts[state] for state in STATES if counts[state]},
        "tiles": sum(slide.tiles for slide in slides),
        "mm2": sum(slide.mm2 for slide in slides),
        "rule": _rule(len(names), room),
    }


def picture_bytes(slides: int) -> int:
    """How many bytes of the page each slide's picture may take; 0 where there are too many."""
    each = (BUDGET_BYTES * 9 // 10) // max(1, slides) - CARD_BYTES
    return min(each, 60_000) if each > 1_500 else 0


def _rule(slides: int, room: int) -> str:
    if not room:
        return (
            f"{slides} slides are too many for pictures in one page of "
            f"{BUDGET_BYTES // 1_000_000} MB; the pictures are in the project’s folder overlays."
        )
    return (
        "Outlines: tissue green, holes blue, regions of interest orange. Each picture is at most "
        f"{room / 1000:.0f} kB, so that the page stays under {BUDGET_BYTES // 1_000_000} MB."
    )


def _slide(name: str, store: Path | None, failure: FailureRecord | None, room: int) -> SlideState:
    problem = f"{failure.stage}: {failure.message}" if failure else ""
    if store is None:
        return SlideState(name, "failed", problem=problem)
    try:
        found = _stored(name, store, room)
    except StoreError as error:
        return SlideState(name, "torn", problem=problem or str(error))
    return replace(found, state="failed", problem=problem) if failure else found


def _stored(name: str, path: Path, room: int) -> SlideState:
    """What a store holds.

    Raises:
        StoreError: it is torn.
    """
    store, summary = FeatureStore(path), read_root(path)["summary"]
    tissue = store.tissue() if summary["tissue"] else None
    mm2 = _area_mm2(store, tissue) if tissue else 0.0
    picture, size = _picture(tissue, room) if tissue and room else ("", (0, 0))
    return SlideState(
        name,
        _state(summary, mm2),
        facts=tuple(_facts(store, tissue, mm2)),
        grids=tuple(_grids(summary)),
        mm2=mm2,
        tiles=sum(grid["tiles"] for grid in summary["grids"].values()),
        picture=picture,
        size=size,
    )


def _state(summary: Mapping[str, Any], mm2: float) -> str:
    grids = summary["grids"].values()
    if not mm2:
        return "no-tissue"
    if not any(grid["tiles"] for grid in grids):
        return "no-tiles"
    return "complete" if any(grid["features"] for grid in grids) else "no-features"


def _area_mm2(store: FeatureStore, tissue: TissueMask) -> float:
    mpp_x, mpp_y = store.slide.mpp
    return float(tissue.outlines.area) * mpp_x * mpp_y / 1e6


def _facts(store: FeatureStore, tissue: TissueMask | None, mm2: float) -> Iterator[tuple[str, str]]:
    info = store.slide
    width, height = info.size
    yield "size", f"{width:,} × {height:,} px at {info.mpp[0]:.4g} µm/px"
    yield "reader", info.reader
    if tissue is not None:
        pieces = len(tissue.outlines.geoms)
        yield "tissue", f"{mm2:.3g} mm² in {pieces} piece{'' if pieces == 1 else 's'}"
        yield "found by", tissue.method


def _grids(summary: Mapping[str, Any]) -> Iterator[str]:
    for key, grid in summary["grids"].items():
        yield f"{key}: {grid['tiles']:,} tiles"
        for name, shape in grid["features"].items():
            yield f"{name}: {' × '.join(f'{side:,}' for side in shape)}"


def _picture(tissue: TissueMask, room: int) -> tuple[str, tuple[int, int]]:
    """The overlay, made smaller until it fits, with its size; empty if it never does."""
    longest = float(PICTURE_PX)
    while longest >= LEAST_PX:
        small = shrunk(tissue.thumbnail, round(longest))
        height, width = small.shape[:2]
        full = tissue.thumbnail.shape
        scale = tissue.scale[0] * full[1] / width, tissue.scale[1] * full[0] / height
        uri = data_uri(overlay(replace(tissue, thumbnail=small, scale=scale)), QUALITY)
        if len(uri) <= room:
            return uri, (width, height)
        longest = min(longest * 0.9, longest * sqrt(room / len(uri)))
    return "", (0, 0)
