"""From a slide to its tissue: look at it small, threshold, tidy, outline, cut to the regions."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.registry import Registry
from wsi_tools.tissue.contours import only_polygons, outlines, rasterised
from wsi_tools.tissue.geojson import Region
from wsi_tools.tissue.mask import TissueMask
from wsi_tools.tissue.options import PRESETS, TissueOptions
from wsi_tools.tissue.picture import Picture, read_picture
from wsi_tools.tissue.shapes import close_gaps, drop_small_pieces, fill_small_holes
from wsi_tools.tissue.stain import Absorbance, is_foreign
from wsi_tools.tissue.thresholds import Foreground

if TYPE_CHECKING:
    from wsi_tools.slide import Bounds, Slide

__all__ = ["SEGMENTERS", "segment"]

Mask = NDArray[np.bool_]

# Each is a function of (picture uint8 (h, w, 3), TissueOptions) that returns a `Foreground`.
SEGMENTERS = Registry(
    "wsi_tools.segmenters",
    {
        "otsu": "wsi_tools.tissue.thresholds:otsu",
        "hsv": "wsi_tools.tissue.thresholds:hsv",
        "entropy": "wsi_tools.tissue.thresholds:entropy",
        "none": "wsi_tools.tissue.thresholds:whole",
    },
)


def segment(
    slide: "Slide",
    options: TissueOptions = PRESETS["he"],
    *,
    roi: Sequence[Region] | None = None,
    exclude: Sequence[Region] = (),
) -> TissueMask:
    """Find the tissue of a slide; a slide without any gives an empty mask.

    Args:
        slide: an open brightfield slide.
        options: how to find it.
        roi: only tissue inside these counts; None for the whole slide.
        exclude: tissue inside these does not count.

    Raises:
        InputError: there is no method of that name.
        SlideError: no resolution is known, or the pixels cannot be read.
    """
    method = "otsu" if options.method == "auto" else options.method
    find = SEGMENTERS[method]
    picture = read_picture(slide, options.seg_mpp)
    found: Foreground = find(picture.pixels, options)
    mask = found.mask if found.final else _tidied(found.mask, picture, options)
    area = _cut(outlines(mask, picture.scale), slide.info.bounds, roi, exclude)
    return TissueMask(
        outlines=area,
        mask=rasterised(area, mask.shape, picture.scale),
        scale=picture.scale,
        thumbnail=picture.pixels,
        method=method,
        parameters=_parameters(options, picture, found),
        regions=tuple(roi or ()),
    )


def _tidied(mask: Mask, picture: Picture, options: TissueOptions) -> Mask:
    """Take ink out before gaps are closed, lest it bridge them, and after, lest it be bridged."""
    clean = ~_foreign(picture, options)
    closed = close_gaps(mask & clean, options.close_um, picture.mpp) & clean
    filled = fill_small_holes(closed, options.min_hole_area_um2, picture.mpp)
    return drop_small_pieces(filled, options.min_area_um2, picture.mpp)


def _foreign(picture: Picture, options: TissueOptions) -> Mask:
    if options.stain is None:
        return np.zeros(picture.pixels.shape[:2], bool)
    return is_foreign(Absorbance.of(picture.pixels), options.stain)


def _cut(
    area: shapely.MultiPolygon,
    bounds: "Bounds",
    roi: Sequence[Region] | None,
    exclude: Sequence[Region],
) -> shapely.MultiPolygon:
    frame = shapely.box(bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height)
    allowed = frame if roi is None else frame & _union(roi)
    return only_polygons([area & (allowed - _union(exclude))])


def _union(regions: Sequence[Region]) -> shapely.Geometry:
    return shapely.union_all([region.area for region in regions])


def _parameters(options: TissueOptions, picture: Picture, found: Foreground) -> dict[str, Any]:
    asked = {name: value for name, value in asdict(options).items() if name != "method"}
    return asked | {
        "mpp": list(picture.mpp),
        "level": picture.level,
        "measured": dict(found.measured),
    }
