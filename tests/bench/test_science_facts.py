"""The synthetic cases have the laws they claim, so that a figure means what its page says."""

import pytest
import torch
from science_bench import key_tiles, marker_interplay, position, record
from science_bench.measures import auc, entropy, jensen_shannon


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_auc_counts_ordered_pairs_and_half_of_the_ties():
    scores, truth = torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([False, False, True, True])
    assert auc(scores, truth) == 3.5 / 4


def test_entropy_of_even_weights_is_one_and_of_a_single_tile_zero():
    assert entropy(torch.full((2, 8), 1 / 8)) == pytest.approx(1.0)
    assert entropy(torch.eye(8)) == 0.0


def test_jensen_shannon_of_disjoint_attention_is_ln_2_and_of_equal_attention_zero():
    first, second = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    assert jensen_shannon(first, second) == pytest.approx(0.693147, abs=1e-6)
    assert jensen_shannon(first, first) == 0.0


def test_only_key_tiles_tell_positive_bags_from_negative_ones(generator):
    shift = 6 * key_tiles.unit_vector(generator)
    cases = key_tiles.draw(400, shift, generator)
    keys = torch.cat([case.bag.features[case.keys] for case in cases]) @ shift / 6
    rest = torch.cat([case.bag.features[~case.keys] for case in cases]) @ shift / 6
    assert {int(case.keys.sum()) for case in cases if case.label} == {2}
    assert not any(case.keys.any() for case in cases if not case.label)
    assert keys.mean() == pytest.approx(6, abs=0.2)  # 400 keys: six standard errors are 0.3
    assert rest.mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("allowed", [position.near(), position.far()], ids=["near", "far"])
def test_neither_marked_tile_prefers_a_place_in_either_class(allowed):
    chances = position.fair(allowed)
    everywhere = torch.full((64,), 1 / 64, dtype=torch.float64)
    torch.testing.assert_close(chances.sum(dim=0), everywhere, atol=1e-9, rtol=0)
    torch.testing.assert_close(chances.sum(dim=1), everywhere, atol=1e-9, rtol=0)
    assert not chances[~allowed].any()


def test_positive_lattices_have_their_marks_side_by_side_and_negative_ones_three_apart(generator):
    for case in position.draw(60, generator):
        first, second = position.LATTICE[case.keys]
        apart = (first - second).abs()
        assert int(apart.sum()) == 1 if case.label else int(apart.amax()) >= 3


def test_the_mean_of_the_markers_has_one_law_in_both_classes(generator):
    panel = marker_interplay.Panel(generator)
    cases = marker_interplay.draw(400, panel, generator)
    means = {0: [], 1: []}
    for case in cases:
        means[int(case.label)].append(case.bag.features.mean(dim=1) @ panel.state)  # (50,)
    negative, positive = (torch.cat(means[label]).sort().values for label in (0, 1))
    gap = (negative - positive).abs().mean()  # Wasserstein distance of 10,000 draws each
    assert gap < 0.03  # the values spread over ±1.2; two samples of one law gave 0.01


def test_partners_agree_in_one_class_and_differ_in_the_other(generator):
    panel = marker_interplay.Panel(generator)
    for case in marker_interplay.draw(20, panel, generator):
        seen = panel.seen(case.bag.features).sign()
        agreement = (seen[:, 0] * seen[:, 1]).mean(), (seen[:, 2] * seen[:, 3]).mean()
        assert agreement == ((-1, 1) if case.label else (1, -1))


def test_the_record_alone_says_nothing_and_the_image_alone_seven_eighths(generator):
    stories = record.draw(4000, generator)
    truth = torch.tensor([bool(story.told().label) for story in stories])
    signs = torch.stack([story.signs for story in stories]).sum(dim=1)
    picked = torch.tensor([story.picked for story in stories])
    assert auc(signs, truth) == pytest.approx(0.875, abs=0.02)
    assert auc(picked, truth) == pytest.approx(0.5, abs=0.05)


def test_flipping_the_record_leaves_the_tiles_and_moves_the_keys(generator):
    story = record.draw(1, generator)[0]
    told, flipped = story.told(), story.flipped().told()
    assert torch.equal(told.bag.features, flipped.bag.features)
    assert torch.equal(flipped.bag.clinical[0], -told.bag.clinical[0])
    assert not (told.keys & flipped.keys).any()
    assert int(told.keys.sum()) == int(flipped.keys.sum()) == 10
