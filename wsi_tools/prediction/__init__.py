"""Predictions: what trained models say of cases whose targets nobody needs to know."""

from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.ensemble import Ensemble, Prediction
from wsi_tools.prediction.recipe import preparation_of
from wsi_tools.prediction.table import as_csv

__all__ = ["Computing", "Ensemble", "Prediction", "as_csv", "preparation_of"]
