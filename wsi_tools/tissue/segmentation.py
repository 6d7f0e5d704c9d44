"""From a slide to its tissue: look at it small, threshold, tidy, outline, cut to the regions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.errors import SlideError
from wsi_tools.registry import Registry
from wsi_tools.tissue.closer import look_closer
from wsi_tools.tissue.contours import only_polygons, outlines, rasterised
from wsi_tools.tissue.fluorescence import brightest, grey, nuclear_channel
from wsi_tools.tissue.geojson import Region
from wsi_tools.tissue.mask import TissueMask
from wsi_tools.tissue.options import PRESETS, TissueOptions
from wsi_tools.tissue.picture import Picture, read_picture
from wsi_tools.tissue.runs import Runs
from wsi_tools.tissue.shapes import close_gaps, drop_small_pieces, fill_small_holes
from wsi_tools.tissue.thresholds import Foreground

if TYPE_CHECKING:
    from wsi_tools.slide import Bounds, Slide, SlideInfo

__all__ = ["MULTIPLEX_SEGMENTERS", "SEGMENTERS", "segment"]

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

# The same for multiplex slides: the picture is float32 (h, w, C), means that are not rounded.
MULTIPLEX_SEGMENTERS = Registry(
    "wsi_tools.multiplex_segmenters",
    {
        "nuclear": "wsi_tools.tissue.fluorescence:nuclear",
        "any-marker": "wsi_tools.tissue.fluorescence:any_marker",
        "none": "wsi_tools.tissue.thresholds:whole",
    },
)


@dataclass(frozen=True)
class _Look:
    """A slide as it was looked at.

    Attributes:
        method: how.
        picture: in which picture.
        thumbnail: what a person is shown of it.
        foreign: bool (h, w), what is no tissue by its colour; None where colour says nothing.
    """

    method: str
    picture: Picture
    thumbnail: NDArray[np.uint8]
    foreign: Mask | None = None


def segment(
    slide: "Slide",
    options: TissueOptions = PRESETS["he"],
    *,
    roi: Sequence[Region] | None = None,
    exclude: Sequence[Region] = (),
) -> TissueMask:
    """Find the tissue of a slide; a slide without any gives an empty mask.

    Args:
        slide: an open slide, brightfield or multiplex.
        options: how to find it; the colours of a stain are nothing to a multiplex slide.
        roi: only tissue inside these counts; None for the whole slide.
        exclude: tissue inside these does not count.

    Raises:
        InputError: there is no method of that name.
        SlideError: no resolution is known, the pixels cannot be read, or the method is for slides
            of the other kind.
    """
    if slide.info.multiplex:
        options = replace(options, stain=None)
        look, segmenters = _look_at_channels(slide, options), MULTIPLEX_SEGMENTERS
    else:
        look, segmenters = _look_at_colours(slide, options), SEGMENTERS
    found: Foreground = segmenters[look.method](look.picture.pixels, options)
    runs = Runs.of(found.mask) if found.final else _tidied(found, look, options)
    mask, scale = runs.mask, look.picture.scale
    whole = outlines(runs, scale)
    area = _cut(whole, slide.info.bounds, roi, exclude)
    return TissueMask(
        outlines=area,
        mask=rasterised(area, mask.shape, scale) if area is not whole else mask.view(np.uint8),
        scale=scale,
        thumbnail=look.thumbnail,
        method=look.method,
        parameters=_parameters(options, look.picture, found),
        regions=tuple(roi or ()),
    )


def _look_at_colours(slide: "Slide", options: TissueOptions) -> _Look:
    method = "otsu" if options.method == "auto" else options.method
    _refuse_other_kind(slide.info, method, SEGMENTERS, MULTIPLEX_SEGMENTERS)
    by_colour = method != "otsu"  # of which JPEG keeps half the resolution
    picture = read_picture(slide, options.seg_mpp, fine=by_colour)
    stain = None if method == "none" else options.stain
    foreign = look_closer(slide, picture, stain) if stain else None
    return _Look(method, picture, picture.pixels, foreign)


def _look_at_channels(slide: "Slide", options: TissueOptions) -> _Look:
    nucleus = nuclear_channel(slide.info, options.nuclear)
    by_default = "any-marker" if nucleus is None else "nuclear"
    method = by_default if options.method == "auto" else options.method
    _refuse_other_kind(slide.info, method, MULTIPLEX_SEGMENTERS, SEGMENTERS)
    if method == "nuclear":
        with slide.only([_known(nucleus, slide.info)]) as alone:
            picture = read_picture(alone, options.seg_mpp, fine=True)
        return _Look(method, picture, grey(picture.pixels[..., 0]))
    picture = read_picture(slide, options.seg_mpp, fine=True)
    shown = brightest(picture.pixels) if nucleus is None else nucleus
    return _Look(method, picture, grey(picture.pixels[..., shown]))


def _refuse_other_kind(info: "SlideInfo", method: str, own: Registry, other: Registry) -> None:
    if method in other and method not in own:
        kind = (
            f"a multiplex slide of {len(info.channels)} channels" if info.multiplex else "in colour"
        )
        raise SlideError(
            f"{info.path.name}: is {kind}, which --method {method} cannot judge; "
            f"take auto, {', '.join(own)}"
        )


def _known(nucleus: int | None, info: "SlideInfo") -> int:
    if nucleus is None:
        names = ", ".join(channel.name for channel in info.channels)
        raise SlideError(
            f"{info.path.name}: no channel is known for a nuclear stain among {names}; "
            "give one the role nuclear in a --panel, or take --method any-marker"
        )
    return nucleus


def _tidied(found: Foreground, look: _Look, options: TissueOptions) -> Runs:
    """Take ink out before gaps are closed, lest it bridge them, and after, lest it be bridged."""
    mpp = look.picture.mpp
    clean = True if look.foreign is None else ~look.foreign
    closed = close_gaps(found.mask & clean, options.close_um, mpp) & clean
    filled = fill_small_holes(Runs.of(closed), options.min_hole_area_um2, mpp)
    return drop_small_pieces(filled, options.min_area_um2, mpp)


def _cut(
    area: shapely.MultiPolygon,
    bounds: "Bounds",
    roi: Sequence[Region] | None,
    exclude: Sequence[Region],
) -> shapely.MultiPolygon:
    """The part of an area that counts; the area itself where that is all of it."""
    frame = shapely.box(bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height)
    if roi is None and not exclude and frame.covers(shapely.box(*area.bounds)):
        return area
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
