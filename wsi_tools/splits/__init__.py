"""Splits: a cohort divided by patients into folds of training, validation and test, and audited."""

from wsi_tools.splits.assignment import ROLES, Assignment, Splits, read_splits, write_splits
from wsi_tools.splits.audit import Leak, audit, refuse
from wsi_tools.splits.folds import Fold, held_out, training_folds
from wsi_tools.splits.foreign import read_any_splits
from wsi_tools.splits.making import Plan, groups_of, make_splits, sites_of
from wsi_tools.splits.summary import Part, SiteCount, lacking, parts, site_counts

__all__ = [
    "ROLES",
    "Assignment",
    "Fold",
    "Leak",
    "Part",
    "Plan",
    "SiteCount",
    "Splits",
    "audit",
    "groups_of",
    "held_out",
    "lacking",
    "make_splits",
    "parts",
    "read_any_splits",
    "read_splits",
    "refuse",
    "site_counts",
    "sites_of",
    "training_folds",
    "write_splits",
]
