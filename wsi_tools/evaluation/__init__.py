"""Evaluation: predictions joined with what became of the patients, and the folder that tells it."""

from wsi_tools.evaluation.folder import Question, evaluated, write_evaluation
from wsi_tools.evaluation.joining import Joined, calling, join
from wsi_tools.evaluation.predictions import Predictions, read_predictions
from wsi_tools.evaluation.references import RunReferences, of_other_folds, read_references

__all__ = [
    "Joined",
    "Predictions",
    "Question",
    "RunReferences",
    "calling",
    "evaluated",
    "join",
    "of_other_folds",
    "read_predictions",
    "read_references",
    "write_evaluation",
]
