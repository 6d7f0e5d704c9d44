"""The files of one slide: pictures, tables, polygons and pyramids of its scores."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.heatmap.background import from_slide, from_thumbnail
from wsi_tools.heatmap.field import heat_field
from wsi_tools.heatmap.figure import Caption
from wsi_tools.heatmap.figure import figure as framed
from wsi_tools.heatmap.frame import Frame, frame_of
from wsi_tools.heatmap.geojson import to_geojson
from wsi_tools.heatmap.matrix import matrix_picture
from wsi_tools.heatmap.overlay import overlay, png
from wsi_tools.heatmap.request import HeatmapRequest
from wsi_tools.heatmap.scale import DIFFERENCE, Scaled, scaled
from wsi_tools.heatmap.scores import ATTENTION, TileScores
from wsi_tools.heatmap.tiff import colours_tiff, numbers_tiff
from wsi_tools.heatmap.tiles import contact_sheet, extremes, tile_pictures
from wsi_tools.heatmap.what_if import WhatIf, contrast, what_if_csv
from wsi_tools.slide import Slide, SlideInfo
from wsi_tools.tissue import TissueMask

__all__ = ["files_of"]

Picture = NDArray[np.uint8]
Files = Iterator[tuple[str, bytes]]

ASKED = "attention among markers: a row asks, a column gives"
RISK = "risk"
MOST_SAID = 4  # numbers that find room on a line
UNSAFE = re.compile(r"[^\w.=+-]")  # in the name of a file; "<50" and ">50" stay two names
TIFF_PX = 2048  # the longer side of a pyramid's first level


def files_of(
    scores: TileScores,
    request: HeatmapRequest,
    slide: Slide | None,
    what_ifs: Sequence[WhatIf] = (),
) -> Files:
    """Every file that is asked for, as a name and its content.

    Args:
        scores: of the slide.
        request: what is asked for.
        slide: the slide, open; None where its file is gone: then the thumbnail lies behind the
            heat, and no tiles are shown.
        what_ifs: the slide as it would be with other records.

    Raises:
        InputError: a score that the model does not have.
        SlideError: the slide's pixels cannot be decoded.
    """
    sheet = _Sheet(scores, request, slide)
    names = request.names(scores)
    makers: Mapping[str, Callable[[Sequence[str]], Files]] = {
        "png": sheet.pictures,
        "csv": sheet.tables,
        "geojson": sheet.polygons,
        "ome-tiff": sheet.numbers,
        "rgb-tiff": sheet.colours,
    }
    for kind in request.to:
        yield from makers[kind](names)
    yield from sheet.tiles(names)
    yield from sheet.changes(what_ifs)


@dataclass(frozen=True)
class _Sheet:
    """One slide's scores on their way to files; what several files need is made once."""

    scores: TileScores
    request: HeatmapRequest
    slide: Slide | None

    def pictures(self, names: Sequence[str]) -> Files:
        for name in names:
            scale = scaled(self.scores.score(name), self.request.scaling)
            caption = Caption(self.scores.slide_id, _note(self.scores), self._shown(name))
            figure = self._figure(scale, caption, self.request.colours)
            yield self._name(name, "png"), png(figure)
        if self.scores.markers is not None:
            matrix, colours = self.scores.markers, self.request.colours
            picture = matrix_picture(self.scores.slide_id, ASKED, matrix, colours)
            yield self._name("markers", "png"), png(picture)

    def tables(self, names: Sequence[str]) -> Files:
        yield self._name("", "csv"), self.scores.csv().encode()
        if self.scores.markers is not None:
            yield self._name("markers", "csv"), self.scores.markers.csv().encode()

    def polygons(self, names: Sequence[str]) -> Files:
        bounds = self._info.bounds
        text = to_geojson(
            self.scores,
            names,
            scaling=self.request.scaling,
            colours=self.request.colours,
            origin=(bounds.x, bounds.y) if self.request.origin == "bounds" else (0, 0),
        )
        yield self._name("", "geojson"), text.encode()

    def numbers(self, names: Sequence[str]) -> Files:
        frame = self._frame(TIFF_PX)
        fields = [heat_field(self.scores.grid, self.scores.score(name), frame) for name in names]
        planes = np.stack([field.values for field in fields])  # (scores, h, w)
        yield self._name("", "ome.tiff"), numbers_tiff(planes, names, frame)

    def colours(self, names: Sequence[str]) -> Files:
        frame = self._frame(TIFF_PX)
        background = self._background(frame)
        for name in names:
            scale = scaled(self.scores.score(name), self.request.scaling)
            picture = self._overlay(background, frame, scale, self.request.colours)
            yield self._name(name, "rgb.ome.tiff"), colours_tiff(picture, frame)

    def tiles(self, names: Sequence[str]) -> Files:
        """The contact sheets, where tiles are asked for and the slide is there."""
        if self.slide is None or not self.request.tiles:
            return
        for name in names:
            yield self._name(name, "tiles.png"), png(self._contact_sheet(self.slide, name))

    def changes(self, what_ifs: Sequence[WhatIf]) -> Files:
        for what_if in what_ifs:
            if "png" in self.request.to:
                change = f"change of {self._shown(ATTENTION)} if {what_if.change}"
                caption = Caption(
                    self.scores.slide_id, _note(what_if.before, what_if.after), change
                )
                figure = self._figure(contrast(what_if.difference()), caption, DIFFERENCE)
                yield self._name(f"{ATTENTION} if {what_if.change}", "png"), png(figure)
        if what_ifs:
            yield self._name("what-if", "csv"), what_if_csv(what_ifs).encode()

    def _figure(self, scale: Scaled, caption: Caption, colours: str) -> Picture:
        picture = self._overlay(self._under, self._picture_frame, scale, colours)
        return framed(picture, self._picture_frame, scale, caption, colours=colours)

    def _shown(self, name: str) -> str:
        """The name of a score, with the class that ``attention`` is for."""
        return f"{name} ({self.scores.of})" if name == ATTENTION and self.scores.of else name

    def _overlay(self, under: Picture, frame: Frame, scale: Scaled, colours: str) -> Picture:
        field = heat_field(self.scores.grid, scale.values, frame)
        return overlay(under, field, scale, colours=colours, opacity=self.request.opacity)

    def _contact_sheet(self, slide: Slide, name: str) -> Picture:
        values, grid = self.scores.score(name), self.scores.grid
        found = extremes(values, self.request.tiles)
        bands = [
            (
                title,
                tile_pictures(slide, grid, rows.tolist()),
                [f"{values[row]:.3g}" for row in rows],
            )
            for title, rows in (("highest", found.top), ("lowest", found.bottom))
        ]
        side_um = grid.spec.px * grid.mpp[0]
        title = f"{self.scores.slide_id}, {name}: tiles of {side_um:.4g} µm"
        return contact_sheet(title, bands)

    @cached_property
    def _tissue(self) -> TissueMask:
        return self.scores.feature_store().tissue()

    @cached_property
    def _info(self) -> SlideInfo:
        return self.scores.feature_store().slide

    @cached_property
    def _under(self) -> Picture:
        """What lies behind the pictures."""
        return self._background(self._picture_frame)

    def _frame(self, longest_px: int, *, enlarge: bool = False) -> Frame:
        return frame_of(self._info, self._tissue.scale, longest_px, enlarge=enlarge)

    @cached_property
    def _picture_frame(self) -> Frame:
        return self._frame(self.request.picture_px, enlarge=True)

    def _background(self, frame: Frame) -> Picture:
        wanted = self.request.background
        if wanted == "slide" and self.slide is None:
            raise SlideError(
                f"{self.scores.slide_id}: its slide is gone, or is another file by now; put it "
                "back, or take --background auto"
            )
        found = None
        if self.slide is not None and wanted != "thumbnail":
            found = from_slide(self.slide, frame)
        return from_thumbnail(self._tissue, frame) if found is None else found

    def _name(self, what: str, suffix: str) -> str:
        """The name of a file: the slide, what it shows, and its kind."""
        slug = UNSAFE.sub(lambda found: quote(found[0], safe=""), re.sub("[: /]", "-", what))
        return ".".join(part for part in (self.scores.slide_id, slug, suffix) if part)


def _note(scores: TileScores, after: TileScores | None = None) -> str:
    """Which models, and what they say of the case (of survival the risk alone), or would say."""
    said = scores.predicted
    names = [RISK] if RISK in said else list(said)[:MOST_SAID]
    told = [f"{name.removeprefix('prob_')} {said[name]:.2f}" for name in names]
    if after is not None:
        told = [
            f"{text}, would be {after.predicted[name]:.2f}"
            for text, name in zip(told, names, strict=True)
        ]
    return "; ".join(
        (str(scores.judges), *told) if after else (str(scores.judges), ", ".join(told))
    )
