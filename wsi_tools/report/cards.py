"""One slide of a report: its picture, the heat of the same box of level 0, its top tiles."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.heatmap import (
    Frame,
    Scaled,
    TileScores,
    extremes,
    frame_of,
    from_thumbnail,
    heat_field,
    scaled,
    tile_pictures,
)
from wsi_tools.heatmap.scale import coloured
from wsi_tools.report.pictures import data_uri, shrunk
from wsi_tools.report.said import Said
from wsi_tools.slide import open_slide

__all__ = ["COLOURS", "SlideCard", "TilePicture", "draw_card"]

PICTURE_PX, HEAT_PX, TILE_PX = 560, 360, 112  # longer sides: sharp on a card, light in a page
COLOURS = "viridis"
MARKER = "marker:"  # begins the names of scores that are of one marker


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


def draw_card(said: Said, scores: TileScores, tiles: int) -> SlideCard:
    """Draw a slide under its heat.

    Args:
        said: what was said of it.
        scores: of its tiles.
        tiles: how many top tiles to show.

    Raises:
        StoreError: its store is torn.
    """
    tissue, heat = scores.feature_store().tissue(), scaled(scores.score())
    frame = _frame(scores, tissue.scale)
    raster = replace(frame, size_px=_scaled_to(HEAT_PX, frame.size_px))
    field = heat_field(scores.grid, heat.values, raster)
    of = f", for {scores.of}" if scores.of else ""
    return SlideCard(
        slide_id=said.slide_id,
        said=_words(said),
        size=_scaled_to(PICTURE_PX, frame.size_px),
        picture=data_uri(from_thumbnail(tissue, frame)),
        alt=f"Slide {said.slide_id} from afar",
        heat=data_uri(_translucent(field.values, field.cover, heat)),
        heat_alt=f"Where the model looked on {said.slide_id}: {_where(scores)}",
        judges=f"Heat: {scores.judges}{of}.",
        markers=_markers(scores),
        tiles=tuple(_tiles(scores, tiles)),
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


def _scaled_to(longest_px: int, size: tuple[int, int]) -> tuple[int, int]:
    """A size of the same shape: small slides are shown as large as others."""
    share = longest_px / max(size)
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


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
