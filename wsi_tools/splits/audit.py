"""Leaks: patients, or copies of one image, that play two roles in the same fold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wsi_tools.errors import DataError
from wsi_tools.splits.assignment import ROLES, Assignment, Splits

__all__ = ["Leak", "audit", "refuse"]

NAMED = 5  # leaks in a message


@dataclass(frozen=True)
class Leak:
    """What is on two sides of a fold, with a slide of it on each."""

    repeat: int
    fold: int
    what: str
    slides: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        sides = " and ".join(f"{role} ({slide})" for role, slide in self.slides)
        repeat = f"repeat {self.repeat}, " if self.repeat else ""
        return f"{repeat}fold {self.fold}: {self.what} is in {sides}"


def audit(
    splits: Splits,
    *,
    patient_of: Mapping[str, str] | None = None,
    fingerprints: Mapping[str, str] | None = None,
) -> tuple[Leak, ...]:
    """Find every leak.

    Args:
        splits: what to look at.
        patient_of: the patient of each slide, if known better than by the split itself.
        fingerprints: of the image of each slide, so that copies under other names are found.
    """
    known, images = patient_of or {}, fingerprints or {}

    def by_file(each: Assignment) -> str | None:
        return f"patient {each.patient_id}"

    def by_cohort(each: Assignment) -> str | None:
        return f"patient {known[each.slide_id]}" if each.slide_id in known else None

    def by_image(each: Assignment) -> str | None:
        return f"image {images[each.slide_id]}" if each.slide_id in images else None

    found = [leak for key in (by_file, by_cohort) for leak in _shared(splits, key)]
    copies = [leak for leak in _shared(splits, by_image) if len(_names(leak)) > 1]
    return tuple(dict.fromkeys((*found, *(_of_copies(leak) for leak in copies))))


def refuse(leaks: Sequence[Leak]) -> None:
    """Raise if there is a leak.

    Raises:
        DataError: there is; the first few are named.
    """
    if leaks:
        more = f"; and {len(leaks) - NAMED} more" if len(leaks) > NAMED else ""
        listed = "; ".join(str(leak) for leak in leaks[:NAMED])
        raise DataError(f"the split leaks: {listed}{more}; make another with wsitools splits")


def _shared(splits: Splits, key: Callable[[Assignment], str | None]) -> Iterator[Leak]:
    """What has two roles in a fold, by a key that is None where nothing is known."""
    sides: dict[tuple[int, int, str], dict[str, str]] = {}
    for each in splits.assignments:
        if (what := key(each)) is not None:
            sides.setdefault((*each.place, what), {}).setdefault(each.role, each.slide_id)
    for (repeat, fold, what), roles in sides.items():
        if len(roles) > 1:
            yield Leak(repeat, fold, what, tuple((r, roles[r]) for r in ROLES if r in roles))


def _names(leak: Leak) -> set[str]:
    return {slide for _, slide in leak.slides}


def _of_copies(leak: Leak) -> Leak:
    return Leak(leak.repeat, leak.fold, "the same image", leak.slides)
