import pytest

from wsi_tools.errors import InputError
from wsi_tools.slide.info import Resolution
from wsi_tools.slide.resolution import conflicts, from_per_unit, from_text, ranked, winner

FILE = (Resolution("openslide.mpp-x", 0.5, 0.5),)


@pytest.mark.parametrize(
    ("manifest", "override", "fallback", "source", "mpp"),
    [
        (0.2, 0.3, 0.4, "manifest", 0.2),
        (None, 0.3, 0.4, "--mpp-override", 0.3),
        (None, None, 0.4, "openslide.mpp-x", 0.5),
    ],
)
def test_the_manifest_beats_the_override_beats_the_file_beats_the_fallback(
    manifest, override, fallback, source, mpp
):
    won = winner(ranked(FILE, manifest, override, fallback))
    assert (won.source, won.mpp_x) == (source, mpp)


def test_the_fallback_fills_a_gap_and_the_gap_of_an_unbelievable_value():
    assert winner(ranked((), None, None, 0.4)).mpp_x == 0.4
    absurd = from_text("openslide.mpp-x", "352.8", "352.8")
    assert winner(ranked(absurd, None, None, 0.4)).source == "--mpp-fallback"
    assert winner(ranked(absurd, None, None, None)) is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [("centimeter", 20_000.0, 0.5), ("inch", 50_800.0, 0.5), ("inch", 72.0, 352.7778)],
)
def test_resolution_tags_count_pixels_per_unit(unit, per_unit, mpp):
    (found,) = from_per_unit("tiff.resolution", per_unit, per_unit, unit)
    assert found.mpp_x == pytest.approx(mpp, rel=1e-6)


def test_tags_without_a_unit_or_with_zeros_say_nothing():
    assert from_per_unit("tiff.resolution", 1.0, 1.0, "none") == ()
    assert from_per_unit("tiff.resolution", 0.0, 0.0, "inch") == ()


@pytest.mark.parametrize(
    ("text", "unit", "mpp"),
    [("0.25", "µm", 0.25), ("250", "nm", 0.25), ("0.00025", "mm", 0.25), ("0.25", "μm", 0.25)],
)
def test_lengths_are_read_in_their_unit(text, unit, mpp):
    (found,) = from_text("ome.PhysicalSize", text, None, unit)
    assert (found.mpp_x, found.mpp_y) == (pytest.approx(mpp), pytest.approx(mpp))


@pytest.mark.parametrize("text", [None, "", "nan", "inf", "-1", "0", "unknown"])
def test_what_is_no_length_is_no_candidate(text):
    assert from_text("openslide.mpp-x", text, text) == ()


def test_pixels_per_pixel_is_no_length():
    assert from_text("ome.PhysicalSize", "1", "1", "pixel") == ()


@pytest.mark.parametrize(
    ("mpp", "said"),
    [
        ("0.00499", "0.00499 µm/px is not between 0.05 and 5"),
        ("16.783", "16.78 µm/px is not between 0.05 and 5"),
    ],
)
def test_an_unbelievable_value_is_kept_with_the_reason(mpp, said):
    (found,) = from_text("tiff.resolution", mpp, mpp)
    assert found.refused == said


def test_candidates_that_differ_by_over_one_per_cent_are_warned_of():
    other = (*FILE, Resolution("aperio.MPP", 0.2508, 0.2508))
    assert conflicts(other) == (
        "aperio.MPP says 0.2508 µm/px, openslide.mpp-x 0.5; openslide.mpp-x is used",
    )
    assert conflicts((*FILE, Resolution("aperio.MPP", 0.504, 0.504))) == ()
    assert conflicts(ranked(FILE, None, None, 0.25)) == ()


@pytest.mark.parametrize("mpp", [0.0, -0.5, 50.0, float("nan")])
def test_an_unbelievable_override_is_a_usage_error(mpp):
    with pytest.raises(InputError, match="--mpp-override"):
        ranked(FILE, None, mpp, None)
