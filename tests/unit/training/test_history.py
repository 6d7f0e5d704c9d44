"""When training stops and which epoch is kept, from written-out histories."""

import math

import pytest

from wsi_tools.training import Recipe
from wsi_tools.training.history import Epoch, History
from wsi_tools.training.optimisation import rate


def history(*losses):
    return History(tuple(Epoch(k, 1e-3, 0.5, loss, loss) for k, loss in enumerate(losses)))


def test_the_first_of_the_lowest_losses_is_kept():
    assert history(0.5, 0.3, 0.4, 0.3).best(Recipe()) == 1


def test_an_epoch_before_the_least_is_not_kept():
    recipe = Recipe(least_epochs=2)
    assert history(0.1, 0.3, 0.5, 0.4).best(recipe) == 3
    assert history(0.1, 0.3).best(recipe) == 1


def test_a_loss_that_is_not_finite_is_never_the_best():
    assert history(math.nan, 0.9, math.nan).best(Recipe()) == 1


def test_without_validation_the_last_epoch_is_kept():
    epochs = tuple(Epoch(k, 1e-3, loss) for k, loss in enumerate((0.5, 0.1, 0.3)))
    assert History(epochs).best(Recipe(patience=0)) == 2


def test_training_ends_when_patience_does():
    recipe = Recipe(epochs=50, patience=2)
    assert not history(0.5, 0.3, 0.4).is_over(recipe)
    assert history(0.5, 0.3, 0.4, 0.3).is_over(recipe)


def test_patience_of_zero_never_ends_it():
    recipe = Recipe(epochs=5, patience=0)
    assert not history(0.1, 0.2, 0.3, 0.4).is_over(recipe)
    assert history(0.1, 0.2, 0.3, 0.4, 0.5).is_over(recipe)


def test_patience_counts_from_the_least_epochs_on():
    recipe = Recipe(epochs=50, patience=1, least_epochs=3)
    assert not history(0.1, 0.2).is_over(recipe)
    assert not history(0.1, 0.2, 0.3).is_over(recipe)
    assert history(0.1, 0.2, 0.3, 0.2, 0.2).is_over(recipe)


def test_a_history_survives_json_bit_by_bit():
    epochs = (Epoch(0, 1 / 3, 0.1 + 0.2, 2 / 7, 2 / 7), Epoch(1, 1e-300, 1.5))
    assert History.from_json(History(epochs).as_json()) == History(epochs)


def test_the_table_reads_back_exactly():
    lines = history(1 / 3).csv().splitlines()
    assert lines[0] == "number,lr,train_loss,val_loss,monitored"
    assert [float(each) for each in lines[1].split(",")] == [0, 1e-3, 0.5, 1 / 3, 1 / 3]


@pytest.mark.parametrize(("progress", "expected"), [(0, 1.0), (5, 0.5), (10, 0.0), (2.5, 0.853553)])
def test_the_cosine_goes_from_the_rate_to_zero(progress, expected):
    assert rate(Recipe(lr=1.0, epochs=10), progress, History()) == pytest.approx(expected, abs=1e-6)


def test_warm_up_grows_in_a_straight_line():
    recipe = Recipe(lr=1.0, schedule="constant", warmup=4)
    assert [rate(recipe, at, History()) for at in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]


def test_steps_divide_by_ten_at_each_milestone():
    recipe = Recipe(lr=1.0, schedule="steps", milestones=(3, 6))
    found = [rate(recipe, at, History()) for at in (0, 2.99, 3, 5.9, 6)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_plateau_divides_by_ten_as_torchs_scheduler_does():
    torch = pytest.importorskip("torch")
    losses = [0.9, 0.8, 0.81, 0.82, 0.83, 0.84, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=2, threshold=0
    )
    recipe = Recipe(lr=1.0, schedule="plateau", plateau_patience=2)
    for count in range(1, len(losses) + 1):
        theirs.step(losses[count - 1])
        ours = rate(recipe, count, history(*losses[:count]))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
