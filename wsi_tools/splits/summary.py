"""What a split came to: counts per fold, per site, and what is missing where."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wsi_tools.splits.assignment import ROLES, Splits

__all__ = ["Part", "SiteCount", "lacking", "parts", "site_counts"]


@dataclass(frozen=True)
class Part:
    """One role in one fold: how many patients and slides, and the patients of each group."""

    repeat: int
    fold: int
    role: str
    patients: int
    slides: int
    groups: Mapping[str, int]


@dataclass(frozen=True)
class SiteCount:
    """One site: the folds that test its patients, and how many of each group there are."""

    site: str
    folds: tuple[int, ...]
    patients: int
    groups: Mapping[str, int]


def parts(splits: Splits, groups: Mapping[str, str]) -> Iterator[Part]:
    """Every role of every fold.

    Args:
        splits: the split.
        groups: the class of each patient, or whether there was an event.
    """
    kinds = sorted(set(groups.values()))
    slides = Counter((*each.place, each.role) for each in splits.assignments)
    members = {(*each.place, each.role, each.patient_id) for each in splits.assignments}
    found = Counter((*member[:3], groups[member[3]]) for member in members)
    for repeat, fold in splits.places:
        for role in ROLES:
            counts = {kind: found[repeat, fold, role, kind] for kind in kinds}
            number = slides[repeat, fold, role]
            yield Part(repeat, fold, role, sum(counts.values()), number, counts)


def lacking(splits: Splits, groups: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each part that lacks a group, as far as it is not empty on purpose."""
    for part in parts(splits, groups):
        missing = [group for group, count in part.groups.items() if not count]
        if part.patients and missing:
            repeat = f"repeat {part.repeat}, " if splits.repeats > 1 else ""
            yield f"{repeat}fold {part.fold}: no patient of {', '.join(missing)} in {part.role}"


def site_counts(
    splits: Splits, sites: Mapping[str, str], groups: Mapping[str, str], repeat: int = 0
) -> Iterator[SiteCount]:
    """Every site, by name.

    Args:
        splits: the split.
        sites: the site of each patient.
        groups: the group of each patient.
        repeat: of which repeat the folds are told.
    """
    tests = {
        (sites[each.patient_id], each.fold)
        for each in splits.assignments
        if each.role == "test" and each.repeat == repeat
    }
    found = Counter((sites[patient], groups[patient]) for patient in sites)
    kinds = sorted(set(groups.values()))
    for site in sorted(set(sites.values())):
        counts = {kind: found[site, kind] for kind in kinds}
        folds = tuple(sorted(fold for name, fold in tests if name == site))
        yield SiteCount(site, folds, sum(counts.values()), counts)
