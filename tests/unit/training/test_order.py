"""What an epoch sees."""

import numpy as np
import pytest

from wsi_tools.training import Recipe
from wsi_tools.training.order import (
    Example,
    balanced_batches,
    event_batches,
    examples,
    shuffled_batches,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def flat(batches):
    return [number for batch in batches for number in batch]


def test_every_case_is_seen_once():
    batches = shuffled_batches(10, 4, rng())
    assert sorted(flat(batches)) == list(range(10))
    assert [len(batch) for batch in batches] == [4, 4, 2]


def test_the_order_follows_from_the_generator():
    assert shuffled_batches(10, 4, rng(1)) == shuffled_batches(10, 4, rng(1))
    assert shuffled_batches(10, 4, rng(1)) != shuffled_batches(10, 4, rng(2))


def test_the_sampler_shows_a_rare_class_as_often_as_a_common_one():
    classes = [0] * 90 + [1] * 10
    drawn = np.array(flat(balanced_batches(classes * 50, 1, rng())))
    assert np.mean(drawn % 100 >= 90) == pytest.approx(0.5, abs=0.02)


def test_every_batch_of_cox_holds_events_and_enough_patients():
    events = [True] * 5 + [False] * 45
    batches = event_batches(events, 16, rng())
    assert sorted(flat(batches)) == list(range(50))
    assert [len(batch) for batch in batches] == [17, 17, 16]
    assert all(any(number < 5 for number in batch) for batch in batches)


def test_a_fold_smaller_than_a_batch_is_one_batch():
    assert len(event_batches([True, False, False], 16, rng())) == 1


def test_persam_sees_as_many_bags_as_a_slides_tiles_fill():
    recipe = Recipe(bag_tiles=100, bags_per_case=3)
    found = list(examples([40, 100, 250, 900], recipe))
    assert found[:2] == [Example(0), Example(1)]
    assert found[2:4] == [Example(2, 0), Example(2, 1)]
    assert found[4:] == [Example(3, 0), Example(3, 1), Example(3, 2)]


def test_whole_bags_are_one_example_each():
    assert list(examples([5, 5000], Recipe())) == [Example(0), Example(1)]
