import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_tools.errors import SlideError
from wsi_tools.slide.geometry import best_level, from_level, pyramid, snapped_downsample, to_level

CMU_1 = pyramid([(2220, 2967), (1110, 1483), (555, 741), (277, 370)])


@pytest.mark.parametrize(
    ("base", "size", "downsample"),
    [
        ((2220, 2967), (1110, 1483), 2.0),  # OpenSlide says 2.00034
        ((2220, 2967), (277, 370), 8.0),  # and 8.01668
        ((2820, 3867), (705, 967), 4.0),  # one side rounded up
        ((300, 250), (37, 31), 8.0),  # and 8.08631
        ((46000, 32914), (2875, 2057), 16.0),
        ((1000, 1000), (400, 400), 2.5),
        ((1000, 1000), (333, 334), 3.0),
        ((16, 16), (16, 16), 1.0),
        ((3, 3), (1, 1), 3.0),
    ],
)
def test_a_downsample_is_the_whole_number_that_explains_both_sides(base, size, downsample):
    assert snapped_downsample(base, size) == downsample


@settings(deadline=None)  # a busy machine is no failure
@given(st.tuples(st.integers(64, 200_000), st.integers(64, 200_000)), st.integers(1, 32))
def test_any_whole_reduction_is_recognised_however_its_sides_were_rounded(base, factor):
    down = tuple(side // factor for side in base)
    up = tuple(-(-side // factor) for side in base)
    assert factor > 8 or snapped_downsample(base, down) == factor
    assert [level.size for level in pyramid([base, up])] == [base, up]


def test_a_level_that_shows_another_area_ends_the_pyramid():
    levels = pyramid([(2176, 2960), (1088, 1480), (256, 368), (128, 184)])
    assert [level.size for level in levels] == [(2176, 2960), (1088, 1480)]


@pytest.mark.parametrize(
    ("target", "level", "native"),
    [
        (0.499, 0, True),
        (0.4989, 0, True),  # within one in a thousand
        (0.5, 0, False),
        (0.998, 1, True),
        (1.0, 1, False),
        (1.99, 1, False),
        (8.0, 3, False),
        (100.0, 3, False),
    ],
)
def test_the_coarsest_level_not_coarser_than_the_target_is_read(target, level, native):
    choice = best_level(CMU_1, (0.499, 0.499), target)
    assert (choice.level, choice.native) == (level, native)
    assert choice.mpp == (0.499 * 2**level, 0.499 * 2**level)


def test_pixels_that_are_not_square_are_judged_by_their_longer_side_and_never_native():
    choice = best_level(CMU_1, (0.25, 0.26), 0.51)
    assert (choice.level, choice.native) == (0, False)
    assert best_level(CMU_1, (0.25, 0.26), 0.53).level == 1


def test_a_target_finer_than_the_slide_is_refused_with_the_flag_that_allows_it():
    with pytest.raises(SlideError) as caught:
        best_level(CMU_1, (0.499, 0.499), 0.25, name="case.svs")
    assert str(caught.value) == (
        "case.svs: its finest pixels are 0.499 µm and 0.25 was asked for; "
        "choose a coarser --mpp, or pass --allow-upsample"
    )


def test_allowed_upsampling_reads_level_0_and_is_not_native():
    choice = best_level(CMU_1, (0.499, 0.499), 0.25, allow_upsample=True)
    assert (choice.level, choice.mpp, choice.native) == (0, (0.499, 0.499), False)


def test_a_wider_tolerance_makes_a_level_native():
    assert best_level(CMU_1, (0.499, 0.499), 0.5, tolerance=0.01).native
    assert best_level(CMU_1, (0.499, 0.499), 0.49, tolerance=0.02).level == 0


def test_level_0_and_level_coordinates_are_each_others_inverse():
    assert to_level((101.0, 50.0), 4.0) == (25.25, 12.5)
    assert from_level((25.25, 12.5), 4.0) == (101.0, 50.0)
