"""The slides of a report: each under the heat of models that never learnt from it; its tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_tools.cohort import Cohort, SlideRow
from wsi_tools.cohort.stores import with_stores
from wsi_tools.heatmap import RunModels, TileScores
from wsi_tools.heatmap.scale import ramp
from wsi_tools.prediction import Computing
from wsi_tools.report.cards import COLOURS, SlideCard, draw_card
from wsi_tools.report.figures import Table
from wsi_tools.report.pages import BUDGET_BYTES
from wsi_tools.report.run import RunRecord
from wsi_tools.report.said import ORDERS, Said, evenly, said_of, said_table
from wsi_tools.report.truth import Truth

__all__ = ["Shown", "Slides", "make_slides", "within"]

SPENT_BYTES = (
    BUDGET_BYTES * 3 // 4
)  # on pictures; the rest is for charts, tables and what they grow to


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
    there = [each for each in said if each.slide_id in cohort.patient_of]
    scores_of = _scorer(run, shown.project, cohort, shown.device)
    wanted = evenly(there, shown.slides)
    cards = [draw_card(each, scores_of(each.slide_id), shown.tiles) for each in wanted]
    return within(SPENT_BYTES, cards), len(there)


def within(budget: int, cards: Sequence[SlideCard]) -> list[SlideCard]:
    """As many cards as weigh no more, evenly taken, so that both ends stay."""
    thinned = (evenly(cards, count) for count in range(len(cards), 0, -1))
    fitting = (each for each in thinned if sum(card.bytes for card in each) <= budget)
    return next(fitting, [])


def _cohort(run: RunRecord, truth: Truth | None) -> Cohort:
    """The slides with what is known of them; without the table, their patients alone."""
    if truth is not None:
        return truth.cohort
    patients = {each.slide_id: each.patient_id for each in run.splits.assignments}
    return Cohort(tuple(SlideRow(slide, patient) for slide, patient in patients.items()))


def _scorer(
    run: RunRecord, project: Path, cohort: Cohort, device: str
) -> Callable[[str], TileScores]:
    """What gives the scores of a slide, by the models that it was a test for."""
    models = RunModels.load(run.path, Computing(device, "auto"))
    cases = {slide: case for case in cohort.cases(models.level) for slide in case.slides}

    def scores_of(slide_id: str) -> TileScores:
        case = cases[slide_id]
        bags = models.bags(project, cohort.only(case.slides))
        return next(each for each in models.scores(case, bags) if each.slide_id == slide_id)

    return scores_of
