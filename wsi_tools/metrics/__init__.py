"""How good predictions are: metrics with intervals, per fold and pooled, for every task.

Nothing here imports torch. Metrics work on many draws of patients at once: they take weights
``(draws, n)`` that say how often each row counts in each draw.
"""

from wsi_tools.metrics.bootstrap import PatientDraws
from wsi_tools.metrics.comparison import differences
from wsi_tools.metrics.reference import Reference
from wsi_tools.metrics.risk_groups import log_rank_lines
from wsi_tools.metrics.rows import ClassRows, LabelRows, Rows, SurvivalRows, ValueRows
from wsi_tools.metrics.suites import FollowUpTerms, metrics_for
from wsi_tools.metrics.table import Estimate, by_group, estimates, summary, write_estimates
from wsi_tools.metrics.threshold import choose_threshold

__all__ = [
    "ClassRows",
    "Estimate",
    "FollowUpTerms",
    "LabelRows",
    "PatientDraws",
    "Reference",
    "Rows",
    "SurvivalRows",
    "ValueRows",
    "by_group",
    "choose_threshold",
    "differences",
    "estimates",
    "log_rank_lines",
    "metrics_for",
    "summary",
    "write_estimates",
]
