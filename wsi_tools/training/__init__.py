"""Training: designs, recipes, the loop of one fold, and runs of many."""

from wsi_tools.training.experiment import Compute, Design, Experiment, FoldKey, Inputs
from wsi_tools.training.fold import rehearse
from wsi_tools.training.folder import RunFolder, trained_folders
from wsi_tools.training.recipe import RECIPES, PaperRecipe, Recipe
from wsi_tools.training.run import train
from wsi_tools.training.summary import summarise
from wsi_tools.training.targets import Goal

__all__ = [
    "RECIPES",
    "Compute",
    "Design",
    "Experiment",
    "FoldKey",
    "Goal",
    "Inputs",
    "PaperRecipe",
    "Recipe",
    "RunFolder",
    "rehearse",
    "summarise",
    "train",
    "trained_folders",
]
