"""Micrometres per pixel: who says so, whom to believe, and what contradicts it.

The manifest beats `--mpp-override`, which beats what the file states; `--mpp-fallback` only fills
a gap. A statement outside 0.05 to 5 µm is refused with its reason: no slide scanner makes such
pixels, and some writers put the value into the resolution tags in the wrong unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wsi_tools.errors import InputError
from wsi_tools.slide.info import Resolution

__all__ = ["conflicts", "from_per_unit", "from_text", "judged", "ranked", "stated", "winner"]

MIN_MPP = 0.05  # µm; a 100× oil objective gives about 0.1
MAX_MPP = 5.0  # µm; a 2× objective gives about 5
CONFLICT = 0.01  # relative; above it two statements are about different pixels
FALLBACK = "--mpp-fallback"
UM_PER_UNIT: Mapping[str, float] = {
    "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25_400.0,
    "inch": 25_400.0, "centimeter": 1e4, "micron": 1.0, "micrometer": 1.0, "nanometer": 1e-3,
    "millimeter": 1e3,
}  # fmt: skip


def from_per_unit(source: str, x: float, y: float, unit: str) -> tuple[Resolution, ...]:
    """Read pixels per unit of length; nothing where the unit or a number is no such thing."""
    um = UM_PER_UNIT.get(unit.lower())
    return (judged(Resolution(source, um / x, um / y)),) if um and x > 0 and y > 0 else ()


def from_text(
    source: str, x: str | None, y: str | None, unit: str = "µm", unit_y: str | None = None
) -> tuple[Resolution, ...]:
    """Read lengths per pixel as a file writes them; nothing where they are absent or no numbers.

    Where y is absent it is as x; its unit is that of x unless it is given.
    """
    units = UM_PER_UNIT.get(unit), UM_PER_UNIT.get(unit_y if unit_y and y else unit)
    try:
        sizes = float(x or "nan"), float(y or x or "nan")
    except ValueError:
        return ()
    if None in units or not all(0 < size < float("inf") for size in sizes):
        return ()
    mpp_x, mpp_y = (size * um for size, um in zip(sizes, units, strict=True) if um)
    return (judged(Resolution(source, mpp_x, mpp_y)),)


def stated(source: str, mpp: float | None) -> tuple[Resolution, ...]:
    """Take what the caller states, which must be believable.

    Raises:
        InputError: it is outside 0.05 to 5 µm.
    """
    if mpp is None:
        return ()
    said = judged(Resolution(source, mpp, mpp))
    if said.refused:
        raise InputError(f"{source} {mpp:g}: {said.refused}; give micrometres per pixel")
    return (said,)


def judged(statement: Resolution) -> Resolution:
    """Refuse a statement that no slide scanner could have made."""
    if all(MIN_MPP <= mpp <= MAX_MPP for mpp in (statement.mpp_x, statement.mpp_y)):
        return statement
    said = f"{statement.mpp_x:.4g} µm/px is not between {MIN_MPP:g} and {MAX_MPP:g}"
    return replace(statement, refused=said)


def ranked(
    file: Sequence[Resolution],
    manifest: float | None,
    override: float | None,
    fallback: float | None,
) -> tuple[Resolution, ...]:
    """Every statement, the strongest first."""
    return (
        *stated("manifest", manifest),
        *stated("--mpp-override", override),
        *file,
        *stated(FALLBACK, fallback),
    )


def winner(candidates: Sequence[Resolution]) -> Resolution | None:
    """The first statement that is not refused."""
    return next((each for each in candidates if not each.refused), None)


def conflicts(candidates: Sequence[Resolution]) -> tuple[str, ...]:
    """One warning for each believable statement that differs from the winner by over 1 %."""
    won = winner(candidates)
    if won is None:
        return ()
    return tuple(
        f"{each.source} says {each.mpp_x:.4g} µm/px, {won.source} {won.mpp_x:.4g}; "
        f"{won.source} is used"
        for each in candidates
        if not each.refused and each.source != FALLBACK and _differ(each, won)
    )


def _differ(one: Resolution, other: Resolution) -> bool:
    pairs = ((one.mpp_x, other.mpp_x), (one.mpp_y, other.mpp_y))
    return any(abs(a / b - 1) > CONFLICT for a, b in pairs)
