"""A cohort divided into folds, each with training, validation and test patients."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wsi_tools.cohort import Cohort, Patient
from wsi_tools.errors import DataError, InputError
from wsi_tools.splits.assignment import Assignment, Splits, ordered
from wsi_tools.splits.dealing import deal, draw
from wsi_tools.splits.sites import deal_sites

__all__ = ["Plan", "groups_of", "make_splits", "sites_of"]


@dataclass(frozen=True)
class Plan:
    """How a cohort is divided.

    Attributes:
        folds: each patient is tested in exactly one.
        val: share of all patients that validates, in every fold.
        repeats: how often all is done anew, with another order.
        stratify: further columns to balance over.
        site: column of sites, each of which is tested as a whole.
        seed: another one gives another split.

    Raises:
        InputError: a number is out of range.
    """

    folds: int = 5
    val: float = 0.15
    repeats: int = 1
    stratify: tuple[str, ...] = ()
    site: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1:
            raise InputError(
                f"--folds {self.folds} --repeats {self.repeats}: give 2 folds and 1 repeat or more"
            )
        if not 0 <= self.val < 1 - 1 / self.folds:
            raise InputError(
                f"--val {self.val:g}: with {self.folds} folds give 0 to below "
                f"{1 - 1 / self.folds:.2g}, so that patients are left to train on"
            )


def make_splits(cohort: Cohort, plan: Plan) -> Splits:
    """Divide a cohort; all slides of a patient go together.

    Folds are balanced over the strata of the target (class; event × time of the patients), and
    validation patients drawn evenly from the others of each fold. Where a class has patients
    outside the test fold, one of them is in training.

    Raises:
        DataError: there are fewer patients, or sites, than folds.
        InputError: a column is not there.
    """
    patients = cohort.patients
    if len(patients) < plan.folds:
        raise DataError(
            f"{cohort.source}: {len(patients)} patients cannot fill {plan.folds} folds; "
            f"ask for --folds {len(patients)} or fewer"
        )
    strata, groups = _strata(cohort, plan.stratify), groups_of(cohort)
    sites = sites_of(cohort, plan.site) if plan.site else None
    found: list[Assignment] = []
    for repeat in range(plan.repeats):
        salt = f"{plan.seed}:{repeat}"
        test = (
            deal_sites(sites, (strata, groups), plan.folds, salt)
            if sites
            else deal(strata, plan.folds, salt)
        )
        for fold in range(plan.folds):
            roles = _roles(test, fold, strata, groups, plan, f"{salt}:{fold}")
            found += _assigned(patients, roles, repeat, fold)
    return ordered(found, [slide.slide_id for slide in cohort.slides])


def groups_of(cohort: Cohort) -> dict[str, str]:
    """The class of each patient, or whether there was an event; ``all`` without a target."""
    return {patient.patient_id: _group(cohort, patient) for patient in cohort.patients}


def sites_of(cohort: Cohort, column: str) -> dict[str, str]:
    """The site of each patient.

    Raises:
        InputError: there is no such column.
        DataError: a patient has no site, or two.
    """
    sites: dict[str, str] = {}
    for patient in cohort.patients:
        found = {slide.cells[column] for slide in patient.slides if column in slide.cells}
        if not found:
            raise InputError(f"{cohort.source}: no column {column!r}; name the column of sites")
        if len(found) > 1 or (site := found.pop()) is None:
            raise DataError(
                f"{patient.slides[0].where}: patient {patient.patient_id} has not one {column}; "
                "give all slides of a patient the same"
            )
        sites[patient.patient_id] = site
    return sites


def _roles(
    test: Mapping[str, int],
    fold: int,
    strata: Mapping[str, str],
    groups: Mapping[str, str],
    plan: Plan,
    salt: str,
) -> dict[str, str]:
    """The role of each patient in one fold."""
    rest = {patient: strata[patient] for patient, place in test.items() if place != fold}
    count = min(round(plan.val * len(test)), len(rest) - 1)
    val = draw(rest, groups, count, salt)
    roles = dict.fromkeys(test, "test")
    return roles | {patient: "val" if patient in val else "train" for patient in rest}


def _assigned(
    patients: tuple[Patient, ...], roles: Mapping[str, str], repeat: int, fold: int
) -> Iterator[Assignment]:
    for patient in patients:
        name = patient.patient_id
        for slide in patient.slides:
            yield Assignment(repeat, fold, roles[name], slide.slide_id, name)


def _strata(cohort: Cohort, columns: tuple[str, ...]) -> dict[str, str]:
    """What each patient is balanced by: the target's stratum, then the further columns."""
    by_target = _target_strata(cohort)
    for column in columns:
        if column not in cohort.slides[0].cells:
            raise InputError(f"{cohort.source}: no column {column!r} to stratify by")
    return {
        patient.patient_id: "\n".join(
            (by_target[patient.patient_id], *(patient.cells[each] or "" for each in columns))
        )
        for patient in cohort.patients
    }


def _target_strata(cohort: Cohort) -> dict[str, str]:
    if cohort.target is None or cohort.slide_labels:
        return groups_of(cohort)
    names, values = [], []
    for patient in cohort.patients:
        if (value := patient.value) is not None:
            names.append(patient.patient_id)
            values.append(value)
    return dict(zip(names, cohort.target.strata(values), strict=True))


def _group(cohort: Cohort, patient: Patient) -> str:
    """The group of a patient; of one whose slides differ, all of theirs."""
    if cohort.target is None:
        return "all"
    values = [slide.value for slide in patient.slides if slide.value is not None]
    return "+".join(sorted({cohort.target.group(value) for value in values}))
