"""One step against arithmetic written out, and what each step sees."""

import pytest
import torch
from torch import nn

from wsi_tools.cohort import Case, FollowUp
from wsi_tools.errors import InputError
from wsi_tools.mil import Bag, MILModel, MILOutput
from wsi_tools.mil.cards import CARDS
from wsi_tools.prediction.computing import Computing
from wsi_tools.prediction.reading import Reader
from wsi_tools.tasks import Classification, CoxSurvival
from wsi_tools.tasks.cox import efron
from wsi_tools.training.loop import Learning, Part, fit
from wsi_tools.training.recipe import Recipe
from wsi_tools.training.targets import targets_of

FEATURES = torch.arange(240, dtype=torch.float32).reshape(8, 10, 3).sin()  # 8 bags of 10 tiles
CLASSES = (0, 1, 0, 1, 1, 0, 1, 0)
TIMES = (5.0, 3.0, 9.0, 1.0, 7.0, 2.0, 8.0, 4.0)


class Watched(MILModel):
    """A linear layer on the mean tile that remembers what it was shown."""

    card = CARDS["mean"]

    def __init__(self, n_out):
        super().__init__()
        self.linear = nn.Linear(3, n_out)
        self.seen, self.steps = [], 0

    def forward(self, bag, target=None):
        self.seen.append((self.training, len(bag), bag.features))
        scores = bag.features.new_zeros(1, len(bag))
        return MILOutput(self.linear(bag.features.mean(dim=0)), scores, scores)

    def after_step(self):
        self.steps += 1


def part(values, count=8):
    cases = tuple(Case(str(k), str(k), (str(k),), values[k]) for k in range(count))
    reader = Reader(lambda case: Bag.of_slide(FEATURES[int(case.case_id)]))
    return Part(cases, targets_of(cases), reader, (10,) * count)


def learning(task, **recipe):
    torch.manual_seed(0)
    options = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 0.5, "epochs": 1}
    options |= {"schedule": "constant", "patience": 0}
    return Learning(
        Watched(task.width), task, Recipe(**options | recipe), Computing("cpu"), (0, 0, 0)
    )


def run(started, train, val=None):
    fit(started, train, val, keep=lambda _: None, report=lambda *_: None)
    return started.model


def fresh(width):
    torch.manual_seed(0)
    return Watched(width).linear


TWO = Classification(("a", "b"))
FOLLOW_UPS = tuple(FollowUp(time, event=True) for time in TIMES)


def test_a_step_over_several_bags_follows_the_gradient_of_their_mean_loss():
    linear = fresh(2)
    loss = nn.functional.cross_entropy(linear(FEATURES.mean(dim=1)), torch.tensor(CLASSES))
    (gradient,) = torch.autograd.grad(loss, [linear.weight])
    model = run(learning(TWO, accumulate=8), part(CLASSES))
    torch.testing.assert_close(model.linear.weight, linear.weight - 0.5 * gradient)
    assert model.steps == 1


def test_a_smaller_last_step_is_a_mean_too():
    started = learning(TWO, accumulate=5)
    model = run(started, part(CLASSES, 6))
    assert model.steps == 2
    assert started.history.epochs[0].train_loss == pytest.approx(0.7, abs=0.2)


def test_cox_follows_the_gradient_of_the_patients_together():
    linear = fresh(1)
    follow_ups = torch.tensor([(time, 1.0) for time in TIMES], dtype=torch.float64)
    loss = efron(linear(FEATURES.mean(dim=1))[:, 0], follow_ups)
    (gradient,) = torch.autograd.grad(loss, [linear.weight])
    model = run(learning(CoxSurvival()), part(FOLLOW_UPS))
    torch.testing.assert_close(model.linear.weight, linear.weight - 0.5 * gradient)


def test_a_step_without_a_comparable_pair_is_skipped():
    lost = tuple(FollowUp(time, event=False) for time in TIMES)
    started = learning(CoxSurvival())
    with pytest.raises(InputError, match="the loss is nan"):  # no step at all in the epoch
        run(started, part(lost))
    assert started.model.steps == 0


def test_the_gradient_is_clipped_to_its_largest_norm():
    before = fresh(2)
    model = run(learning(TWO, accumulate=8, clip=0.01), part(CLASSES))
    moved = torch.cat(
        [
            (model.linear.weight - before.weight).flatten(),
            (model.linear.bias - before.bias).flatten(),
        ]
    )
    assert moved.norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_max_bag_draws_tiles_in_training_and_none_in_validation():
    model = run(learning(TWO, max_bag=4, epochs=2), part(CLASSES), part(CLASSES))
    training = [(size, features) for trained, size, features in model.seen if trained]
    validation = [size for trained, size, _ in model.seen if not trained]
    assert {size for size, _ in training} == {4}
    assert set(validation) == {10}
    drawn = {tuple(features[:, 0].tolist()) for _, features in training}
    assert len(drawn) == 16  # another draw for every bag and epoch


def test_drawn_tiles_keep_their_order():
    model = run(learning(TWO, max_bag=4), part(CLASSES))
    for _, _, features in model.seen:
        rows = [FEATURES.reshape(-1, 3).tolist().index(row) for row in features.tolist()]
        assert rows == sorted(rows)


def test_cut_bags_are_disjoint_parts_of_their_case():
    model = run(learning(TWO, bag_tiles=4), part(CLASSES))
    shown = [tuple(row) for _, _, features in model.seen for row in features.tolist()]
    assert len(model.seen) == 16  # two whole parts of 4 in each bag of 10 tiles
    assert len(shown) == len(set(shown)) == 64


def test_the_epoch_with_the_lowest_validation_loss_is_kept():
    started = learning(TWO, lr=40.0, epochs=8)  # overshoots, so that losses go up and down
    snapshots = []
    fit(
        started,
        part(CLASSES),
        part(CLASSES[::-1]),
        keep=lambda now: snapshots.append(now.model.linear.weight.detach().clone()),
        report=lambda *_: None,
    )
    losses = [epoch.val_loss for epoch in started.history.epochs]
    best = losses.index(min(losses))
    assert best < 7
    assert torch.equal(started.best["linear.weight"], snapshots[best])


def test_the_global_generator_of_the_caller_does_not_matter():
    torch.manual_seed(1)
    one = run(learning(TWO, max_bag=3, epochs=2), part(CLASSES)).linear.weight
    torch.manual_seed(2)
    two = run(learning(TWO, max_bag=3, epochs=2), part(CLASSES)).linear.weight
    assert torch.equal(one, two)


def test_bags_stay_in_memory_while_the_budget_lasts():
    read = []

    def bag_of(case):
        read.append(case.case_id)
        return Bag.of_slide(FEATURES[int(case.case_id)])

    cases = part(CLASSES).cases
    size = 10 * 3 * 4 + 2 * (10 * 2 * 8) + 10 * 8  # features, coordinates and lattice, segment
    with Reader(bag_of, cache_gb=3 * size / 2**30) as reader:
        first = [bag.features for bag in reader.bags(cases)]
        again = [bag.features for bag in reader.bags(cases)]
    assert sorted(read[:8]) == [str(k) for k in range(8)]
    assert sorted(read[8:]) == ["3", "4", "5", "6", "7"]
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


def test_only_bags_that_stay_are_put_where_they_are_computed_on():
    placed = []

    def place(bag):
        placed.append(bag)
        return bag

    size = 10 * 3 * 4 + 2 * (10 * 2 * 8) + 10 * 8  # as above
    with Reader(
        lambda case: Bag.of_slide(FEATURES[int(case.case_id)]), 3 * size / 2**30, place
    ) as reader:
        for _ in range(2):
            seen = list(reader.bags(part(CLASSES).cases))
    assert len(placed) == 3
    assert all(kept is bag for kept, bag in zip(placed, seen, strict=False))
