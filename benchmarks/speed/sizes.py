"""How large a run is: slides, bags and repeats of the published figures, and of smaller ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["SIZES", "Scan", "Size"]


@dataclass(frozen=True)
class Scan:
    """A brightfield slide to be made.

    Attributes:
        size_px: (width, height) of level 0.
        tile_px: side of its JPEG tiles.
        mpp: micrometres per level-0 pixel.
    """

    size_px: tuple[int, int]
    tile_px: int
    mpp: float

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.size_px[0]}x{self.size_px[1]}-tile{self.tile_px}-mpp{self.mpp}"


@dataclass(frozen=True)
class Size:
    """How much each row does.

    Attributes:
        repeats: pairs of runs; a figure is the median over them.
        least_s: for how long short runs are repeated beyond that.
        warm: whether each side runs once before it is timed.
        fine: slide at 20×, whose tiles of 240 px are not the reader's.
        finer: slide at 40×, with tiles of 256 px.
        large: slide at 40×, with tiles of 240 px, to be segmented whole.
        distinct_tiles: different tissue tiles a slide is laid of.
        multiplex_px: side of the slide of seven channels.
        read_tiles: tiles read per run.
        embed_tiles: tiles embedded per run.
        backbone: what embeds them.
        gpu_backbone: what embeds on a GPU.
        slides: bags of an epoch.
        bag_tiles: fewest and most tiles of a bag.
        width: features per tile.
        row_tiles: tiles of the bag of which one in a hundred is read.
        step_tiles: tiles of the two bags of training steps.
        attention_tiles: tiles of the smaller bag of the exact attention; the other has twice that.
        memory_tiles: tiles of the two grids whose memory is compared.
        memory_repeats: pairs of runs where memory is measured, which hardly varies.
    """

    repeats: int
    least_s: float
    warm: bool
    fine: Scan
    finer: Scan
    large: Scan
    distinct_tiles: int
    multiplex_px: int
    read_tiles: int
    embed_tiles: int
    backbone: str
    gpu_backbone: str
    slides: int
    bag_tiles: tuple[int, int]
    width: int
    row_tiles: int
    step_tiles: tuple[int, int]
    attention_tiles: int
    memory_tiles: tuple[int, int]
    memory_repeats: int


TINY_BACKBONE = "timm:test_resnet.r160_in1k"

FULL = Size(
    repeats=5,
    least_s=4.0,
    warm=True,
    fine=Scan((40_000, 40_000), 240, 0.5),
    finer=Scan((40_000, 40_000), 256, 0.25),
    large=Scan((100_000, 80_000), 240, 0.25),
    distinct_tiles=400,
    multiplex_px=10_240,
    read_tiles=4_000,
    embed_tiles=512,
    backbone="resnet50",
    gpu_backbone="uni",
    slides=120,
    bag_tiles=(2_000, 6_000),
    width=1024,
    row_tiles=100_000,
    step_tiles=(10_000, 50_000),
    attention_tiles=10_000,
    memory_tiles=(2_048, 200_000),
    memory_repeats=3,
)
SMALL = Size(
    repeats=5,
    least_s=4.0,
    warm=True,
    fine=Scan((12_000, 12_000), 240, 0.5),
    finer=Scan((12_000, 12_000), 256, 0.25),
    large=Scan((40_000, 32_000), 240, 0.25),
    distinct_tiles=200,
    multiplex_px=4_096,
    read_tiles=600,
    embed_tiles=64,
    backbone="resnet50",
    gpu_backbone="uni",
    slides=24,
    bag_tiles=(1_000, 3_000),
    width=1024,
    row_tiles=100_000,
    step_tiles=(4_000, 10_000),
    attention_tiles=3_000,
    memory_tiles=(2_048, 8_192),
    memory_repeats=1,
)
TOY = Size(
    repeats=1,
    least_s=0.0,
    warm=False,
    fine=Scan((2_400, 2_400), 240, 0.5),
    finer=Scan((4_096, 4_096), 256, 0.25),
    large=Scan((9_600, 7_200), 240, 0.25),
    distinct_tiles=12,
    multiplex_px=512,
    read_tiles=4,
    embed_tiles=4,
    backbone=TINY_BACKBONE,
    gpu_backbone=TINY_BACKBONE,
    slides=3,
    bag_tiles=(4, 8),
    width=16,
    row_tiles=200,
    step_tiles=(20, 40),
    attention_tiles=40,
    memory_tiles=(4, 8),
    memory_repeats=1,
)
SIZES: Mapping[str, Size] = MappingProxyType({"full": FULL, "small": SMALL, "toy": TOY})
