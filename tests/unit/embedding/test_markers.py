"""Features of markers: what each is made of, and what stands for a marker that is not there."""

import numpy as np
import pytest

from wsi_tools.embedding.markers import MarkerBackbone, colours_of
from wsi_tools.errors import InputError


class Greys:
    """A backbone of two features: the mean of a picture, and how many colours it has."""

    width = 2

    def embed_pixels(self, pixels):
        means = pixels.mean((1, 2, 3))
        return np.stack([means, np.full(len(pixels), pixels.shape[3])], axis=1).astype(np.float32)


PLANES = np.array([[0, 7, 2], [3, 8, 4]], np.float32)[:, :, None, None]  # (2, 3, 1, 1)


def embedded(way, present=(True, True, True)):
    return MarkerBackbone(Greys(), way, present).embed_pixels(PLANES)


def test_every_marker_is_a_grey_picture_of_its_own():
    expected = [[[0, 1], [7, 1], [2, 1]], [[3, 1], [8, 1], [4, 1]]]
    np.testing.assert_array_equal(embedded("per-channel"), expected)


def test_concatenated_markers_stand_in_the_panels_order():
    np.testing.assert_array_equal(embedded("concat"), [[0, 1, 7, 1, 2, 1], [3, 1, 8, 1, 4, 1]])


def test_the_mean_is_that_of_the_markers_features():
    np.testing.assert_array_equal(embedded("mean"), [[3, 1], [5, 1]])


def test_three_markers_as_colours_are_one_picture():
    np.testing.assert_array_equal(embedded("rgb"), [[3, 3], [5, 3]])


def test_a_marker_that_is_not_there_is_zeros_and_no_part_of_the_mean():
    here = (True, False, True)
    expected = [[[0, 1], [0, 0], [2, 1]], [[3, 1], [0, 0], [4, 1]]]
    np.testing.assert_array_equal(embedded("per-channel", here), expected)
    np.testing.assert_array_equal(embedded("mean", here), [[1, 1], [3.5, 1]])


@pytest.mark.parametrize(
    ("way", "shape"), [("per-channel", (0, 3, 2)), ("mean", (0, 2)), ("concat", (0, 6))]
)
def test_a_batch_of_which_no_tile_could_be_read_has_no_features(way, shape):
    nothing = MarkerBackbone(Greys(), way, (True, True, True)).embed_pixels(PLANES[:0])
    assert nothing.shape == shape


def test_colours_are_named_in_their_order():
    assert colours_of("rgb: CD8, DAPI,CK") == ("CD8", "DAPI", "CK")
    assert colours_of("concat") == ()


@pytest.mark.parametrize("text", ["rgb", "rgb:A,B", "rgb:A,,B", "rgb:A,B,a", "mean:A", "grey"])
def test_another_way_is_refused_with_those_there_are(text):
    with pytest.raises(InputError, match=r"rgb:RED,GREEN,BLUE"):
        colours_of(text)
