import cv2
import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from wsi_tools.tissue import runs
from wsi_tools.tissue.runs import Runs

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def spiral(side: int) -> np.ndarray:
    """A path that turns inwards, one pixel wide, one pixel from itself."""
    mask = np.zeros((side, side), bool)
    for ring in range(0, side // 2, 2):
        mask[ring, max(ring - 1, 0) : side - ring] = True
        mask[ring : side - ring, side - 1 - ring] = True
        mask[side - 1 - ring, ring : side - ring] = True
        mask[ring + 2 : side - ring, ring] = True
    return mask


@given(masks)
def test_the_runs_of_a_mask_give_the_mask(mask):
    assert np.array_equal(Runs.of(mask).mask, mask)


@given(masks)
def test_a_run_lies_in_one_row_and_goes_as_far_as_it_can(mask):
    found = Runs.of(mask)
    width = mask.shape[1]
    for start, end, row in zip(found.start, found.end, found.row, strict=True):
        line = mask[row]
        left, right = start - row * width, end - row * width
        assert line[left:right].all()
        assert left == 0 or not line[left - 1]
        assert right == width or not line[right]


@given(masks)
def test_gaps_are_the_runs_of_what_is_left(mask):
    gaps, expected = Runs.of(mask).gaps, Runs.of(~mask)
    assert np.array_equal(gaps.start, expected.start)
    assert np.array_equal(gaps.end, expected.end)


@given(masks)
def test_pieces_hang_together_as_opencv_says(mask):
    found = Runs.of(mask)
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    expected = labels.ravel()[found.start]
    first = [int(np.flatnonzero(expected == each)[0]) for each in expected]
    assert [int(np.flatnonzero(found.piece == each)[0]) for each in found.piece] == first
    assert np.array_equal(found.piece_px, np.bincount(labels[mask])[np.unique(labels[mask])])


def test_many_pieces_that_hang_on_one_run_are_joined_at_once(monkeypatch):
    comb = np.zeros((2, 200), bool)
    comb[0, ::2] = comb[1] = True
    rounds, followed = [], runs._followed

    def counted(before):
        rounds.append(len(before))
        return followed(before)

    monkeypatch.setattr(runs, "_followed", counted)  # the real one is called
    assert set(Runs.of(comb).piece.tolist()) == {0}
    assert len(rounds) <= 3


def test_pieces_are_numbered_by_their_first_pixels():
    mask = np.array([[0, 0, 1, 0, 1], [1, 0, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
    assert Runs.of(mask).piece.tolist() == [0, 0, 1, 0, 1]


def test_a_spiral_is_one_piece_and_so_is_the_gap_in_it():
    found = Runs.of(spiral(60))
    assert set(found.piece) == {0}
    assert set(found.gaps.piece) == {0}


def test_a_gap_that_is_filled_joins_the_runs_beside_it():
    found = Runs.of(np.array([[1, 0, 1, 0, 0, 1]], bool))
    filled = found.joined_across(found.gaps.only(np.array([False, True])))
    assert filled.mask.tolist() == [[True, False, True, True, True, True]]
    assert len(filled.start) == 2
