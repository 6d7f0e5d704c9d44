"""The slides of a report: each under the heat of models that never learnt from it; its tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_tools.cohort import Case, Cohort, SlideRow
from wsi_tools.cohort.stores import with_stores
from wsi_tools.errors import SlideError
from wsi_tools.heatmap import (
    Frame,
    RunModels,
    Scaled,
    TileScores,
    extremes,
    frame_of,
    from_thumbnail,
    heat_field,
    scaled,
    tile_pictures,
)
from wsi_tools.heatmap.scale import coloured, ramp
from wsi_tools.prediction import Computing
from wsi_tools.report.figures import Table
from wsi_tools.report.pages import BUDGET_BYTES
from wsi_tools.report.pictures import data_uri, shrunk
from wsi_tools.report.run import RunRecord
from wsi_tools.report.said import ORDERS, Said, evenly, said_of, said_table
from wsi_tools.report.truth import Truth
from wsi_tools.slide import open_slide

__all__ = ["Shown", "Slides", "make_slides"]

SPENT_BYTES = (
    BUDGET_BYTES * 3 // 4
)  # on pictures; the rest is for charts, tables and what they grow to
PICTURE_PX, HEAT_PX, TILE_PX = 560, 360, 112
COLOURS = "viridis"
MARKER = "marker:"  # begins the names of scores that are of one marker


@dataclass(frozen=True)
class Shown:
    """How much of the slides a report shows.

    Attributes:
        project: where their stores are; None shows no picture.
        slides: at most so many have pictures.
        tiles: so many top tiles of each.
        device: that computes their heat.
    """

    project: Path | None = None
    slides: int = 12
    tiles: int = 6
    device: str = "auto"


@dataclass(frozen=True)
class TilePicture:
    """One tile."""

    picture: str
    side: int
    alt: str


@dataclass(frozen=True)
class SlideCard:
    """One slide: its picture and, of the same box of level 0, its heat."""

    slide_id: str
    said: str
    size: tuple[int, int]
    picture: str
    alt: str
    heat: str
    heat_alt: str
    judges: str
    markers: str
    tiles: tuple[TilePicture, ...]

    @property
    def bytes(self) -> int:
        """What its pictures weigh in the page."""
        return sum(map(len, (self.picture, self.heat, *(tile.picture for tile in self.tiles))))


@dataclass(frozen=True)
class Slides:
    """The section of slides.

    Attributes:
        rule: which slides have pictures, and why others have none.
        heat: what the heat is.
        ramp: its colours, as the style sheet writes them.
        cards: the slides that have.
        table: what was said of every slide.
    """

    rule: str
    heat: str
    ramp: tuple[str, ...]
    cards: tuple[SlideCard, ...]
    table: Table


def make_slides(run: RunRecord, truth: Truth | None, shown: Shown) -> Slides:
    """Choose slides, and draw them.

    Raises:
        DataError: the project's features are not those the run was trained on.
    """
    said = said_of(run, truth)
    cards, there = _cards(run, truth, said, shown)
    colours = [f"rgb({r} {g} {b})" for r, g, b in ramp(COLOURS)[::32].tolist()]
    return Slides(
        _rule(run, len(cards), there, len(said)),
        _heat(cards, shown),
        tuple(colours),
        tuple(cards),
        said_table(said),
    )


def _rule(run: RunRecord, cards: int, there: int, total: int) -> str:
    if not there:
        return (
            f"None of the {total} tested slides has a picture: nobody asked for one, or their "
            "project, or the clinical columns that the models read, were not there."
        )
    if cards == there:
        rest = "" if there == total else f"; of the other {total - there} there is no store"
        return f"All {cards} tested slides, ordered {ORDERS[run.kind]}{rest}."
    return (
        f"{cards} of {there} slides, evenly spaced over their order {ORDERS[run.kind]}, both ends "
        "included: neither the best nor the worst alone."
    )


def _heat(cards: Sequence[SlideCard], shown: Shown) -> str:
    text = (
        "Heat is the model’s attention as a percentile of the slide’s own tiles: it says where the "
        "model looked, not what it found, and cannot be compared between slides."
    )
    if shown.tiles and not any(card.tiles for card in cards):
        text += " The slides’ files are not where they were, so that no tiles can be shown."
    return text


def _cards(
    run: RunRecord, truth: Truth | None, said: Sequence[Said], shown: Shown
) -> tuple[list[SlideCard], int]:
    """The cards, as many as fit in the page; and how many slides have a store."""
    unknown = truth is None and run.trainings[0].checkpoint.reads.columns
    if shown.project is None or not shown.project.is_dir() or not shown.slides or unknown:
        return [], 0
    cohort = with_stores(_cohort(run, truth), shown.project, skip_missing=True)
    there = {slide.slide_id for slide in cohort.slides}
    wanted = evenly([each for each in said if each.slide_id in there], shown.slides)
    models = RunModels.load(run.path, Computing(shown.device, "auto"))
    cases = {slide: case for case in cohort.cases(models.level) for slide in case.slides}
    drawn: list[SlideCard] = []
    spent = 0
    for each in wanted:
        scores = _scores(models, cases[each.slide_id], shown.project, cohort, each.slide_id)
        card = _card(each, scores, shown)
        spent += card.bytes
        if spent > SPENT_BYTES:
            break
        drawn.append(card)
    return drawn, len([each for each in said if each.slide_id in there])


def _cohort(run: RunRecord, truth: Truth | None) -> Cohort:
    """The slides with what is known of them; without the table, their patients alone."""
    if truth is not None:
        return truth.cohort
    patients = {each.slide_id: each.patient_id for each in run.splits.assignments}
    return Cohort(tuple(SlideRow(slide, patient) for slide, patient in patients.items()))


def _scores(
    models: RunModels, case: Case, project: Path, cohort: Cohort, slide_id: str
) -> TileScores:
    bags = models.bags(project, cohort.only(case.slides))
    return next(each for each in models.scores(case, bags) if each.slide_id == slide_id)


def _card(said: Said, scores: TileScores, shown: Shown) -> SlideCard:
    tissue = scores.feature_store().tissue()
    frame = _frame(scores, tissue.scale)
    field = heat_field(
        scores.grid,
        (heat := scaled(scores.score())).values,
        replace(frame, size_px=_heat_size(frame.size_px)),
    )
    name = said.slide_id
    return SlideCard(
        slide_id=name,
        said=_words(said),
        size=_page_size(frame.size_px),
        picture=data_uri(from_thumbnail(tissue, frame)),
        alt=f"Slide {name} from afar",
        heat=data_uri(_translucent(field.values, field.cover, heat)),
        heat_alt=f"Where the model looked on {name}: {_where(scores)}",
        judges=f"Heat: {scores.judges}{f', for {scores.of}' if scores.of else ''}.",
        markers=_markers(scores),
        tiles=tuple(_tiles(scores, shown.tiles)),
    )


def _frame(scores: TileScores, scale: tuple[float, float]) -> Frame:
    """The part of the slide that has tiles, in whole pixels of its thumbnail."""
    whole = frame_of(scores.feature_store().slide, scale)
    sides = np.array(scores.grid.level0_px)
    start = np.array(whole.box[:2])
    first, last = (scores.grid.xy.min(0) - sides), (scores.grid.xy.max(0) + 2 * sides)
    low = np.maximum(np.floor((first - start) / scale), 0)
    high = np.minimum(np.ceil((last - start) / scale), np.round(np.array(whole.box[2:]) / scale))
    width, height = (high - low) * scale
    x, y = start + low * scale
    um = np.array((width, height)) * whole.mpp
    longest = min(PICTURE_PX, (high - low).max())
    size = tuple(max(1, round(each)) for each in um / um.max() * longest)
    return Frame((x, y, width, height), size, whole.mpp)


def _words(said: Said) -> str:
    truth = f"truth {said.truth}, " if said.truth else ""
    return f"{truth}predicted {said.text}, fold {said.fold}"


def _heat_size(size: tuple[int, int]) -> tuple[int, int]:
    share = HEAT_PX / max(size)
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _page_size(size: tuple[int, int]) -> tuple[int, int]:
    """What the page reserves: small pictures are shown as large as others."""
    share = max(1.0, PICTURE_PX / max(size))
    return round(size[0] * share), round(size[1] * share)


def _translucent(
    values: NDArray[np.float32], cover: NDArray[np.float32], heat: Scaled
) -> NDArray[np.uint8]:
    """Colours with opacity, uint8 (h, w, 4): clear where no tile lies."""
    opacity = np.rint(255 * cover).astype(np.uint8)
    return np.dstack((coloured(values, heat, COLOURS), opacity))


def _where(scores: TileScores) -> str:
    """The place of the most heat, in words and level-0 pixels."""
    top = extremes(scores.score(), 1).top
    if not len(top):
        return "nowhere"
    x, y = scores.grid.xy[top[0]].tolist()
    return f"most at x {x}, y {y} (level-0 px)"


def _markers(scores: TileScores) -> str:
    """What each marker of a multiplex slide receives, over tiles by their attention."""
    names = [name for name in scores.names if name.startswith(MARKER)]
    weight = np.nan_to_num(scores.score())
    shares = {name: float(np.nan_to_num(scores.score(name)) @ weight) for name in names}
    total = sum(shares.values())
    ranked = sorted(shares, key=lambda name: -shares[name])
    told = [f"{name.removeprefix(MARKER)} {shares[name] / total:.0%}" for name in ranked if total]
    return f"Markers by attention: {', '.join(told)}." if told else ""


def _tiles(scores: TileScores, count: int) -> Iterator[TilePicture]:
    """The tiles that weigh most, from the slide's own pixels; none where its file is not there."""
    rows = extremes(scores.score(), count).top.tolist()
    info = scores.feature_store().slide
    if not info.path.is_file() or info.multiplex or not rows:
        return
    try:
        with open_slide(info.path, reader=info.reader, mpp_override=info.mpp[0]) as slide:
            pictures = tile_pictures(slide, scores.grid, rows)
    except SlideError:
        return
    for place, (row, picture) in enumerate(zip(rows, pictures, strict=True)):
        x, y = scores.grid.xy[row].tolist()
        alt = f"Tile {place + 1} by weight, at x {x}, y {y} (level-0 px)"
        small = shrunk(picture, TILE_PX)
        yield TilePicture(data_uri(small), small.shape[0], alt)
