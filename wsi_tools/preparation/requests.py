"""What each stage is asked to do, as values that can be kept, compared and sent to a worker."""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wsi_tools.preparation.markers import Markers
from wsi_tools.slide import Slide, SlideInfo, open_slide
from wsi_tools.slide.discovery import Source
from wsi_tools.store.requests import Request, fingerprint
from wsi_tools.tiling import TileSpec
from wsi_tools.tissue import PRESETS, TissueMask, TissueOptions, read_regions, segment

OF_MULTIPLEX = ("nuclear", "hard_background")  # options that brightfield tissue does not depend on


@dataclass(frozen=True)
class Task:
    """One slide and the store it goes to; `recorded` where the store knows how to open it."""

    source: Source
    store: Path
    recorded: bool = False

    @property
    def slide_id(self) -> str:
        """The slide's name."""
        return self.source.slide_id


@dataclass(frozen=True)
class Reading:
    """How slides are opened: the reader, and what the user says of the resolution (µm/px)."""

    reader: str = "auto"
    mpp_override: float | None = None
    mpp_fallback: float | None = None

    def open(self, source: Source) -> Slide:
        """Open a slide; a resolution in the manifest beats everything else."""
        return open_slide(
            source.path,
            reader=self.reader,
            mpp_override=self.mpp_override,
            mpp_fallback=self.mpp_fallback,
            mpp_manifest=source.mpp,
        )


@dataclass(frozen=True)
class Segmenting:
    """How tissue is found, and the regions a person drew.

    Attributes:
        roi: a GeoJSON file, or a folder that holds ``<slide_id>.geojson`` for every slide.
        exclude: the same; a folder may lack slides.
        insists: tissue that another request found is refused; else it is taken as it is.
    """

    options: TissueOptions = PRESETS["he"]
    roi: Path | None = None
    exclude: Path | None = None
    insists: bool = True

    def tissue(self, slide: Slide, slide_id: str) -> TissueMask:
        """Find the tissue of a slide.

        Raises:
            DataError: the regions of this slide are missing or damaged.
        """
        roi = None if self.roi is None else read_regions(self.roi, slide_id)
        named = self.exclude is not None and not self.exclude.is_dir()
        listed = named or _digest(self.exclude, slide_id) is not None
        exclude = read_regions(self.exclude, slide_id) if self.exclude and listed else ()
        return segment(slide, self.options, roi=roi, exclude=exclude)

    def request(self, info: SlideInfo, slide_id: str) -> Request:
        """What the tissue of a slide depends on."""
        options = asdict(self.options)
        for name in () if info.multiplex else OF_MULTIPLEX:
            del options[name]
        return {
            "slide": info.fingerprint,
            "mpp": list(info.mpp),
            "options": options,
            "roi": _digest(self.roi, slide_id),
            "exclude": _digest(self.exclude, slide_id),
        }


@dataclass(frozen=True)
class Tiling:
    """Which grid; `min_tissue` is None where the user left it to the grid that is there."""

    spec: TileSpec = field(default_factory=TileSpec)
    min_tissue: float | None = None

    def request(self, info: SlideInfo, tissue: Request) -> Request:
        """What the tiles of a slide depend on; how much tissue they need is not part of it."""
        spec = asdict(self.spec)
        del spec["min_tissue"]
        geometry = {"mpp": list(info.mpp), "size": list(info.size), "slide": info.fingerprint}
        return {"spec": spec, "geometry": geometry, "tissue": fingerprint(tissue)}


@dataclass(frozen=True)
class Embedding:
    """Which backbones, on which tiles, and how.

    Attributes:
        backbones: (name, weights or None) each.
        grid: the key of the grid; None where there is but one.
        min_tissue: tiles with less are left as zeros; None takes what the grid was made with.
        batch_size: pictures per forward pass, which are tiles, or markers of tiles; None takes
            what suits the device.
        device: where; several, with commas between them, for as many workers.
        readers: threads that read tiles; None takes the cores of this process.
        markers: what becomes of the channels of multiplex slides.
        fast_downsample: brightfield tiles may be decoded at a half, a quarter or an eighth.
    """

    backbones: tuple[tuple[str, str | None], ...]
    grid: str | None = None
    device: str = "auto"
    precision: str = "auto"
    engine: str = "torch"
    dtype: str = "float16"
    batch_size: int | None = None
    readers: int | None = None
    max_bad_tiles: float = 0.01
    min_tissue: float | None = None
    allow_geometry_mismatch: bool = False
    offline: bool = False
    markers: Markers = field(default_factory=Markers)
    fast_downsample: bool = False

    @property
    def devices(self) -> tuple[str, ...]:
        """Each device by its name."""
        return tuple(self.device.split(","))


def _digest(place: Path | None, slide_id: str) -> str | None:
    """What a file of regions holds; a folder may have none for this slide."""
    if place is None:
        return None
    file = place / f"{slide_id}.geojson" if place.is_dir() else place
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
