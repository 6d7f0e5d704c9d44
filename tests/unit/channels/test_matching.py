import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_tools.channels import Marker, Panel
from wsi_tools.errors import DataError, InputError

NAMES = ("DAPI", "PDL1", "CD8", "AF")


def panel(*markers: Marker) -> Panel:
    return Panel(markers, "p")


def test_names_match_without_regard_to_case_and_by_aliases(slide_with):
    found = panel(Marker("cd8"), Marker("PD-L1", ("pdl1",))).matched(slide_with(*NAMES))
    assert [marker.channel for marker in found.markers] == [2, 1]
    assert found.names == ("cd8", "PD-L1")
    assert found.channels == (1, 2)


def test_an_index_beats_the_names_and_says_so(slide_with):
    found = panel(Marker("CD8", channel_index=1)).matched(slide_with(*NAMES))
    assert found.markers[0].channel == 1
    assert found.warnings == (
        "case.tif: channel 1 is called 'PDL1' in the file and CD8 in panel p; channel_index "
        "decides",
    )


def test_an_index_for_a_channel_without_a_name_contradicts_nothing(slide_with):
    assert panel(Marker("CD8", channel_index=1)).matched(slide_with("", "")).warnings == ()


def test_rows_are_channels_in_their_order_where_the_file_names_none(slide_with):
    found = panel(Marker("CD8"), Marker("DAPI")).matched(slide_with("channel-0", "channel-1"))
    assert [marker.channel for marker in found.markers] == [0, 1]


def test_another_number_of_rows_than_unnamed_channels_is_refused(slide_with):
    with pytest.raises(
        DataError, match=r"case\.tif: has 3 channels without names, and panel p 2 markers"
    ):
        panel(Marker("CD8"), Marker("DAPI")).matched(slide_with("", "", ""))


def test_an_index_beyond_the_last_channel_is_refused(slide_with):
    with pytest.raises(DataError, match=r"has 4 channels, and panel p puts CD8 at channel_index 4"):
        panel(Marker("CD8", channel_index=4)).matched(slide_with(*NAMES))


def test_a_missing_marker_is_named_with_what_is_there(slide_with):
    with pytest.raises(
        DataError,
        match=r"case\.tif: of panel p the slide lacks FOXP3, CD3; it has DAPI, PDL1, CD8, AF; "
        r"add an alias or a channel_index to the panel, or pass --missing-marker zero or drop",
    ):
        panel(Marker("FOXP3"), Marker("CD8"), Marker("CD3")).matched(slide_with(*NAMES))


def test_a_missing_marker_becomes_a_masked_plane_or_none(slide_with):
    asked = panel(Marker("FOXP3"), Marker("CD8"))
    zero = asked.matched(slide_with(*NAMES), "zero")
    assert (zero.names, zero.present, zero.missing) == (("FOXP3", "CD8"), (False, True), ("FOXP3",))
    drop = asked.matched(slide_with(*NAMES), "drop")
    assert (drop.names, drop.present, drop.missing) == (("CD8",), (True,), ("FOXP3",))


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_a_slide_with_none_of_the_markers_is_refused(slide_with, missing):
    with pytest.raises(DataError, match="has none of its markers"):
        panel(Marker("FOXP3")).matched(slide_with(*NAMES), missing)


def test_a_missing_background_is_an_error_whatever_the_policy(slide_with):
    asked = panel(Marker("CD8", background="AF2"), Marker("AF2", role="background"))
    for missing in ("error", "zero", "drop"):
        with pytest.raises(DataError, match="background AF2 of CD8 is not among"):
            asked.matched(slide_with(*NAMES), missing)


def test_a_policy_that_is_not_known_is_refused(slide_with):
    with pytest.raises(InputError, match="--missing-marker skip is not known; use error, zero"):
        panel(Marker("CD8")).matched(slide_with(*NAMES), "skip")


def test_one_marker_of_two_channels_needs_an_index(slide_with):
    with pytest.raises(DataError, match=r"DAPI of panel p is both channels 0 \(DAPI\) and 2"):
        panel(Marker("DAPI")).matched(slide_with("DAPI", "CD8", "DAPI"))
    found = panel(Marker("DAPI", channel_index=2)).matched(slide_with("DAPI", "CD8", "DAPI"))
    assert found.channels == (2,)


def test_two_markers_of_one_channel_are_refused(slide_with):
    with pytest.raises(DataError, match="CD4 and CD8 of panel p are both channel 2"):
        panel(Marker("CD4", channel_index=2), Marker("CD8")).matched(slide_with(*NAMES))


def test_only_what_is_needed_is_read(slide_with):
    asked = panel(
        Marker("CD8", background="AF"), Marker("AF", role="background"), Marker("X", role="ignore")
    )
    found = asked.matched(slide_with(*NAMES))
    assert found.channels == (2, 3)
    assert found.names == ("CD8",)


def test_a_background_is_scaled_by_the_ratio_of_the_exposures(slide_with):
    info = slide_with(*NAMES, exposures_ms={"CD8": 30.0, "AF": 10.0})
    by_file = panel(Marker("CD8", background="AF"), Marker("AF", role="background"))
    assert by_file.matched(info).markers[0].background_scale == 3.0
    stated = panel(Marker("CD8", background="AF", exposure_ms=5.0), Marker("AF", role="background"))
    assert stated.matched(info).markers[0].background_scale == 0.5
    given_scale = panel(
        Marker("CD8", background="AF", background_scale=0.25), Marker("AF", role="background")
    )
    assert given_scale.matched(info).markers[0].background_scale == 0.25
    assert by_file.matched(slide_with(*NAMES)).markers[0].background_scale == 1.0


def test_where_markers_were_found_can_be_written_as_json(slide_with):
    asked = panel(Marker("CD8", background="AF"), Marker("AF", role="background"), Marker("X"))
    assert json.loads(json.dumps(asked.matched(slide_with(*NAMES), "zero").to_json())) == {
        "CD8": {"channel": 2, "background": 3, "background_scale": 1.0},
        "X": {"channel": None, "background": None, "background_scale": 1.0},
    }


@given(order=st.permutations(NAMES))
def test_the_order_of_the_file_does_not_change_the_order_of_the_markers(slide_with, order):
    found = panel(*map(Marker, NAMES)).matched(slide_with(*order))
    assert found.names == NAMES
    assert [order[marker.channel] for marker in found.markers] == list(NAMES)
