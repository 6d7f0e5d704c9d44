"""Where the tissue of a slide is: outlines for people, a mask for arithmetic, one area."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_tools.tissue.geojson import Region

__all__ = ["TissueMask"]


@dataclass(frozen=True, eq=False)
class TissueMask:
    """The tissue of one slide; outlines and mask describe the same area.

    Attributes:
        outlines: valid polygons in level-0 pixels, holes as interiors.
        mask: uint8 (h, w), 1 where a pixel's centre lies inside the outlines; it covers all of
            level 0 from (0, 0).
        scale: (x, y) level-0 pixels per pixel of the mask, not rounded.
        thumbnail: uint8 (h, w, 3), the pixels the tissue was found in.
        method: the name in `SEGMENTERS` that found it.
        parameters: every number that made it, asked for or measured, ready for JSON.
        regions: the regions of interest it was cut to, with their class names.
    """

    outlines: shapely.MultiPolygon
    mask: NDArray[np.uint8]
    scale: tuple[float, float]
    thumbnail: NDArray[np.uint8]
    method: str
    parameters: Mapping[str, Any]
    regions: tuple[Region, ...] = ()

    @property
    def pieces(self) -> tuple[Region, ...]:
        """The outlines as regions of class "Tissue", one for each piece."""
        return tuple(
            Region(shapely.MultiPolygon([piece]), "Tissue") for piece in self.outlines.geoms
        )
