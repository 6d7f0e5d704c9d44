"""What may be asked of tissue detection, and the presets that answer for a kind of slide."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

from wsi_tools.errors import InputError

__all__ = ["HE", "H_DAB", "PRESETS", "StainColour", "TissueOptions"]


@dataclass(frozen=True)
class StainColour:
    """The colours a stain can take, in van der Laak's hue, saturation and density of absorbance.

    Density is the mean optical density of the three channels; hue and saturation are the direction
    and length of what differs between them, relative to that mean (`wsi_tools.tissue.stain`). None
    of the three depends on the thickness of the section or on the exposure, but for density.

    Attributes:
        hue_deg: (lowest, highest) hue of the stain's mixtures.
        min_saturation: below it a colour is grey: ink, dust, the edge of a coverslip.
        max_density: above it nothing stained shines through: ink.
        red_hue_deg: from this hue on, tissue is blood or eosin, or else red ink.
        max_red_chroma: the most density × saturation that blood and eosin reach there.
    """

    hue_deg: tuple[float, float]
    min_saturation: float
    max_density: float
    red_hue_deg: float
    max_red_chroma: float


# Haematoxylin absorbs red and green alike (hue 55° to 110°), eosin green (125°), blood green and
# blue (up to 160°): Ruifrok and Johnston's vectors lie at 66° and 122°. Green ink lies near 350°,
# blue ink from 42° to 55°, red ink from 150° to 190° and deep.
HE = StainColour(
    (57, 163), min_saturation=0.15, max_density=0.75, red_hue_deg=150, max_red_chroma=0.3
)
# Diaminobenzidine absorbs blue most (hue 204°) and is black where it is dense: red and black inks
# cannot be told from it by colour, green and most blue inks can.
H_DAB = StainColour(
    (57, 240), min_saturation=0.0, max_density=3.0, red_hue_deg=240, max_red_chroma=3.0
)


@dataclass(frozen=True)
class TissueOptions:
    """How tissue is to be found.

    Attributes:
        method: a name in `SEGMENTERS`, or "auto".
        seg_mpp: working resolution, µm per pixel; a slide coarser than that is used as it is.
        min_area_um2: smaller pieces of tissue are dropped.
        min_hole_area_um2: smaller holes are filled.
        close_um: gaps that a disk of this radius cannot enter are closed.
        hsv_saturation: the threshold of method "hsv", of 255.
        stain: the colours that tissue can have, and ink cannot; None takes every colour.
        nuclear: names that the nuclear channel of a multiplex slide may have; empty takes the
            well-known ones.
        hard_background: method "any-marker" leaves out what is exactly 0 in any channel.
    """

    method: str = "auto"
    seg_mpp: float = 8.0
    min_area_um2: float = 20_000.0
    min_hole_area_um2: float = 4_000.0
    close_um: float = 16.0
    hsv_saturation: int = 8
    stain: StainColour | None = HE
    nuclear: tuple[str, ...] = ()
    hard_background: bool = True

    def __post_init__(self) -> None:
        if not (isfinite(self.seg_mpp) and self.seg_mpp > 0):
            raise InputError(f"--seg-mpp {self.seg_mpp:g} is no resolution; try --seg-mpp 8")
        for flag in ("min_area_um2", "min_hole_area_um2", "close_um"):
            value = getattr(self, flag)
            if not (isfinite(value) and value >= 0):
                option = f"--{flag.replace('_', '-')}"
                raise InputError(f"{option} {value:g} is no size; give 0 or more")


PRESETS: Mapping[str, TissueOptions] = MappingProxyType(
    {
        "he": TissueOptions(),
        "ihc": TissueOptions(stain=H_DAB),
        "biopsy": TissueOptions(min_area_um2=4_000.0, min_hole_area_um2=1_000.0),
        "mif": TissueOptions(min_area_um2=4_000.0, min_hole_area_um2=1_000.0, stain=None),
    }
)
