"""Cohorts: patients, slides, targets and clinical columns from tables, and bags from stores.

Nothing here but `bags` imports torch.
"""

from wsi_tools.cohort.clinical import ClinicalTable, Scaler, clinical_table
from wsi_tools.cohort.events import EventCoding, event_coding
from wsi_tools.cohort.follow_up import FollowUpSummary, summarize
from wsi_tools.cohort.patients import LEVELS, Case, Cohort, Patient, SlideRow
from wsi_tools.cohort.reading import Columns, patient_from, read_cohort, slide_name
from wsi_tools.cohort.targets import (
    Classification,
    FollowUp,
    Multilabel,
    Regression,
    Survival,
    Target,
    Value,
)

__all__ = [
    "LEVELS",
    "Case",
    "Classification",
    "ClinicalTable",
    "Cohort",
    "Columns",
    "EventCoding",
    "FollowUp",
    "FollowUpSummary",
    "Multilabel",
    "Patient",
    "Regression",
    "Scaler",
    "SlideRow",
    "Survival",
    "Target",
    "Value",
    "clinical_table",
    "event_coding",
    "patient_from",
    "read_cohort",
    "slide_name",
    "summarize",
]
