"""Levels, micrometres per pixel and level-0 coordinates: numbers in, numbers out.

Frames: a level-0 coordinate divided by a level's downsample is a coordinate of that level; pixel i
covers [i, i + 1) in its own level, so no half-pixel shift appears anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wsi_tools.errors import SlideError
from wsi_tools.slide.info import Level

__all__ = ["LevelChoice", "best_level", "from_level", "pyramid", "snapped_downsample", "to_level"]

Size = tuple[int, int]
Pair = tuple[float, float]


@dataclass(frozen=True)
class LevelChoice:
    """The level to read for a target resolution.

    Attributes:
        level: index into the slide's levels.
        mpp: (x, y) micrometres per pixel of that level.
        native: the level's own pixels are used; otherwise they are resampled.
    """

    level: int
    mpp: Pair
    native: bool


def snapped_downsample(base: Size, size: Size) -> float:
    """Level-0 pixels per pixel of a level of this size.

    A writer that halves an odd width drops or adds part of a pixel, so the ratio of the sizes is
    off by as much as half a per cent on a small level while the pixels are d × d level-0 pixels
    all the same. The whole number d is taken where both sides are base / d rounded down or up,
    the mean of the two ratios otherwise.
    """
    ratio = (base[0] / size[0] + base[1] / size[1]) / 2
    near = max(1, round(ratio))
    for factor in sorted({max(1, near - 1), near, near + 1}, key=lambda d: abs(d - ratio)):
        if all(_divides(whole, part, factor) for whole, part in zip(base, size, strict=True)):
            return float(factor)
    return ratio


def pyramid(sizes: Sequence[Size]) -> tuple[Level, ...]:
    """Levels from their sizes, up to the first that is no reduced picture of level 0.

    A level belongs if its two ratios agree up to the one pixel that rounding can take from a side.
    (The map that ends a Hamamatsu VMS is a picture of another shape: it does not belong.)
    """
    levels: list[Level] = []
    for size in sizes:
        if not _same_shape(sizes[0], size):
            break
        levels.append(Level(size, snapped_downsample(sizes[0], size)))
    return tuple(levels)


def best_level(
    levels: Sequence[Level],
    mpp: Pair,
    target_mpp: float,
    *,
    tolerance: float = 0.001,
    allow_upsample: bool = False,
    name: str = "the slide",
) -> LevelChoice:
    """Choose the coarsest level that is not coarser than the target.

    Where `mpp` differs along x and y a level must satisfy both: it is fine enough if its coarser
    axis is, and native if both axes equal the target.

    Args:
        levels: the pyramid, finest first.
        mpp: (x, y) micrometres per level-0 pixel.
        target_mpp: micrometres per pixel wanted, the same along both axes.
        tolerance: relative difference up to which two resolutions count as equal.
        allow_upsample: use level 0 where even that is coarser than the target.
        name: what to call the slide in the error.

    Raises:
        SlideError: the target is finer than level 0 and `allow_upsample` is not set.
    """
    for index in reversed(range(len(levels))):
        level_mpp = (mpp[0] * levels[index].downsample, mpp[1] * levels[index].downsample)
        if max(level_mpp) <= target_mpp * (1 + tolerance):
            return LevelChoice(index, level_mpp, _equal(level_mpp, target_mpp, tolerance))
    if not allow_upsample:
        raise SlideError(
            f"{name}: its finest pixels are {max(mpp):.4g} µm and {target_mpp:g} was asked for; "
            "choose a coarser --mpp, or pass --allow-upsample"
        )
    return LevelChoice(0, mpp, native=False)


def to_level(xy: Pair, downsample: float) -> Pair:
    """Turn a level-0 coordinate into one of the level."""
    return xy[0] / downsample, xy[1] / downsample


def from_level(xy: Pair, downsample: float) -> Pair:
    """Turn a coordinate of the level into a level-0 one."""
    return xy[0] * downsample, xy[1] * downsample


def _divides(whole: int, part: int, factor: int) -> bool:
    return part in (whole // factor, -(-whole // factor))


def _same_shape(base: Size, size: Size) -> bool:
    """Whether some one downsample gives both sides to within a pixel."""
    low = max(whole / (part + 1) for whole, part in zip(base, size, strict=True))
    high = min(
        whole / (part - 1) if part > 1 else float("inf")
        for whole, part in zip(base, size, strict=True)
    )
    return low <= high


def _equal(level_mpp: Pair, target_mpp: float, tolerance: float) -> bool:
    return all(abs(each / target_mpp - 1) <= tolerance for each in level_mpp)
