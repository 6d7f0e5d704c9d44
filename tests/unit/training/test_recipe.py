"""Recipes: what papers did, and what nobody can do."""

import pytest

from wsi_tools.errors import InputError
from wsi_tools.mil import MODELS
from wsi_tools.training import RECIPES, Recipe
from wsi_tools.training.optimisation import make_optimizer


def test_persams_recipe_is_the_papers():
    recipe = RECIPES["persam"].recipe
    assert (recipe.optimizer, recipe.momentum, recipe.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (recipe.epochs, recipe.schedule, recipe.milestones) == (9, "steps", (3, 6))
    assert (recipe.bag_tiles, recipe.bags_per_case, recipe.accumulate) == (100, 30, 8)
    assert recipe.least_epochs == 3


def test_persams_tables_learn_at_four_millionths():
    model = MODELS["persam"](16, 3, tables=(2, 4), dim=32, heads=4, ffn_dim=32)
    groups = make_optimizer(model, RECIPES["persam"].recipe).param_groups
    rates = {len(group["params"]): group["lr"] for group in groups}
    of_tables = sum(name.startswith("tables.") for name, _ in model.named_parameters())
    assert rates.pop(of_tables) == pytest.approx(4e-6)
    assert list(rates.values()) == [2e-4]


def test_asmils_recipe_is_the_papers():
    recipe = RECIPES["asmil"].recipe
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == ("adamw", 1e-4, 1e-5)
    assert (recipe.schedule, recipe.warmup, recipe.clip) == ("cosine", 0, 5.0)
    assert (recipe.epochs, recipe.patience, recipe.monitor) == (50, 0, "f1+auroc")


def test_roformers_recipe_is_the_papers():
    recipe = RECIPES["roformer"].recipe
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == ("adam", 1e-4, 1e-5)
    assert (recipe.schedule, recipe.plateau_patience, recipe.accumulate) == ("plateau", 5, 4)
    assert (recipe.epochs, recipe.patience, recipe.monitor) == (50, 10, "accuracy")


def test_clams_recipe_is_the_papers():
    paper = RECIPES["clam"]
    assert (paper.model, dict(paper.goal)) == ("clam-sb", {"balance": "sampler"})
    assert (paper.recipe.epochs, paper.recipe.patience, paper.recipe.least_epochs) == (200, 20, 50)
    assert (paper.recipe.lr, paper.recipe.weight_decay) == (1e-4, 1e-5)


def test_what_was_given_wins_over_the_paper():
    recipe = RECIPES["asmil"].adjusted(lr=1e-3, clip=0.0)
    assert (recipe.lr, recipe.clip, recipe.epochs) == (1e-3, 0.0, 50)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_a_model_and_its_source(name):
    assert RECIPES[name].model in MODELS
    assert "arXiv" in RECIPES[name].source or "Pathol" in RECIPES[name].source


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "lion"}, "--optimizer lion: choose adamw, adam, sgd"),
        ({"epochs": 0}, "--epochs 0: give 1 or more"),
        ({"lr": 0.0}, "--lr 0: give a positive rate"),
        ({"patience": -1}, "--patience -1"),
        ({"max_bag": 50, "bag_tiles": 100}, "--max-bag 50: the recipe cuts bags of 100 tiles"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Recipe(**given)


def test_cox_needs_sixteen_patients_in_a_step():
    assert Recipe().batch(16) == 16
    assert Recipe(accumulate=32).batch(16) == 32
    with pytest.raises(InputError, match=r"--accumulate 1: .* give 16 or more"):
        Recipe(accumulate=1).batch(16)
