"""A cohort: patients, their slides, and what is known of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wsi_tools.cohort.tables import Cells
from wsi_tools.cohort.targets import Target, Value
from wsi_tools.errors import DataError, InputError

__all__ = ["LEVELS", "Case", "Cohort", "Patient", "SlideRow"]

LEVELS = ("slide", "patient")


@dataclass(frozen=True)
class SlideRow:
    """One slide of the cohort.

    Attributes:
        slide_id: the name of its store.
        patient_id: whose it is.
        where: the table and line its value is from, for messages.
        cells: all cells of the row, those of its patient among them.
        value: of the target; None where nothing is to be learnt.
    """

    slide_id: str
    patient_id: str
    where: str = ""
    cells: Cells = field(default_factory=dict, hash=False, repr=False)
    value: Value | None = None


@dataclass(frozen=True)
class Patient:
    """A patient and the slides of theirs, in the order of the table."""

    patient_id: str
    slides: tuple[SlideRow, ...]

    @property
    def value(self) -> Value | None:
        """The one value of the patient's slides.

        Raises:
            DataError: the slides disagree.
        """
        first = self.slides[0]
        for other in self.slides:
            if other.value != first.value:
                raise DataError(
                    f"{other.where}: patient {self.patient_id} has another target with slide "
                    f"{other.slide_id} than with {first.slide_id} ({first.where}); correct one, "
                    "or say that slides have labels of their own with --slide-labels"
                )
        return first.value

    @property
    def cells(self) -> Cells:
        """The first present cell of each column over the slides."""
        merged: dict[str, str | None] = {}
        for slide in self.slides:
            for column, cell in slide.cells.items():
                merged[column] = cell if merged.get(column) is None else merged[column]
        return merged


@dataclass(frozen=True)
class Case:
    """What gets one prediction: a slide, or a patient with all slides.

    Attributes:
        case_id: the slide's or the patient's name.
        patient_id: whose it is.
        slides: names of the stores that make up the bag.
        value: of the target; None where it is not known.
        cells: what else is known, for clinical tables.
    """

    case_id: str
    patient_id: str
    slides: tuple[str, ...]
    value: Value | None = None
    cells: Cells = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True)
class Cohort:
    """Slides with their patients and, if anything is to be learnt, a value each.

    Attributes:
        slides: in the order of the table; no slide twice.
        target: what the values are; None without.
        source: the table's name, for messages.
        slide_labels: whether the slides of one patient may differ in their values.
    """

    slides: tuple[SlideRow, ...]
    target: Target | None = None
    source: str = "cohort"
    slide_labels: bool = False

    @classmethod
    def of_slides(cls, slide_ids: Sequence[str]) -> "Cohort":
        """Slides of which nothing else is known, each its own patient."""
        return cls(tuple(SlideRow(name, name) for name in slide_ids))

    @property
    def patients(self) -> tuple[Patient, ...]:
        """The patients, by their first slide."""
        grouped: dict[str, list[SlideRow]] = {}
        for slide in self.slides:
            grouped.setdefault(slide.patient_id, []).append(slide)
        return tuple(Patient(name, tuple(slides)) for name, slides in grouped.items())

    @property
    def patient_of(self) -> Mapping[str, str]:
        """The patient of each slide."""
        return {slide.slide_id: slide.patient_id for slide in self.slides}

    def cases(self, level: str = "slide") -> tuple[Case, ...]:
        """What is predicted, one by one.

        Raises:
            InputError: another level than ``slide`` and ``patient``.
            DataError: a patient whose slides disagree, at level ``patient``.
        """
        if level not in LEVELS:
            raise InputError(f"--level {level}: choose from {', '.join(LEVELS)}")
        return tuple(self._slide_cases() if level == "slide" else self._patient_cases())

    def only(self, slide_ids: Collection[str]) -> "Cohort":
        """The cohort without any other slides."""
        kept = tuple(slide for slide in self.slides if slide.slide_id in slide_ids)
        return replace(self, slides=kept)

    def _slide_cases(self) -> Iterator[Case]:
        for slide in self.slides:
            name = slide.slide_id
            yield Case(name, slide.patient_id, (name,), slide.value, slide.cells)

    def _patient_cases(self) -> Iterator[Case]:
        for patient in self.patients:
            name = patient.patient_id
            slides = tuple(slide.slide_id for slide in patient.slides)
            yield Case(name, name, slides, patient.value, patient.cells)
