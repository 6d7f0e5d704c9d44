"""Tissue and tiles of one open slide, each written to the store where it is missing."""

import io
from collections.abc import Collection

from PIL import Image

from wsi_tools.execution import Report
from wsi_tools.preparation.requests import Segmenting, Tiling
from wsi_tools.slide import Slide
from wsi_tools.store import Project, StoreWriter
from wsi_tools.tiling import TileGrid, tile
from wsi_tools.tissue import TissueMask, overlay, to_geojson


def find_tissue(slide: Slide, writer: StoreWriter, asked: Segmenting, report: Report) -> TissueMask:
    """The tissue in the store, segmented first where it is missing."""
    slide_id = writer.store.slide_id
    request = asked.request(slide.info, slide_id)
    if not writer.has_tissue(request if asked.insists else None):
        report("segment", 0, 1)
        writer.write_tissue(asked.tissue(slide, slide_id), request)
    return writer.store.tissue()


def draw(
    tissue: TissueMask, project: Project, slide_id: str, pictures: Collection[str], *, anew: bool
) -> None:
    """Write what a person looks at: the overlay as PNG, the outlines for QuPath.

    Args:
        tissue: of the slide.
        project: where to.
        slide_id: names the files.
        pictures: which of "overlay" and "geojson".
        anew: in the place of those that are there.
    """
    for kind in pictures:
        name, encoded = PICTURES[kind]
        if anew or not (project.path / name.format(slide_id)).exists():
            project.write(name.format(slide_id), encoded(tissue))


def _overlay_png(tissue: TissueMask) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(overlay(tissue)).save(encoded, "PNG")
    return encoded.getvalue()


def _outlines(tissue: TissueMask) -> bytes:
    return to_geojson(tissue.pieces).encode()


PICTURES = {
    "overlay": ("overlays/{}.png", _overlay_png),
    "geojson": ("geojson/{}.geojson", _outlines),
}


def lay_grid(
    slide: Slide, writer: StoreWriter, asked: Tiling, report: Report
) -> tuple[str, TileGrid]:
    """The grid asked for and its key, tiled first where it is missing."""
    store, key = writer.store, asked.spec.key
    request = asked.request(slide.info, store.tissue_request())
    if not writer.has_grid(key, request):
        report("tile", 0, 1)
        writer.write_grid(key, tile(slide.info, store.tissue(), asked.spec), request)
    elif asked.min_tissue is not None:
        writer.set_min_tissue(key, asked.min_tissue)
    return key, writer.store.grid(key)
