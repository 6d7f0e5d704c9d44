import json
from itertools import permutations

import pytest

from wsi_tools.channels import Marker, Panel, implicit_panel, is_nuclear
from wsi_tools.errors import DataError, InputError
from wsi_tools.store.requests import difference

AF_PANEL = Panel((Marker("DAPI", role="nuclear"), Marker("CD8"), Marker("AF")))


def test_the_implicit_panel_does_not_depend_on_the_order_of_the_file(slide_with):
    panels = {implicit_panel(slide_with(*names)) for names in permutations(["DAPI", "CD8", "af"])}
    (panel,) = panels
    assert panel.names == ("af", "CD8", "DAPI")
    assert panel.nuclear == ("DAPI",)


def test_an_implicit_panel_is_named_by_the_hash_of_its_markers(slide_with):
    panel = implicit_panel(slide_with("DAPI", "CD8"))
    assert panel.name == implicit_panel(slide_with("CD8", "DAPI")).name
    assert panel.name != implicit_panel(slide_with("CD8", "DAPI", "AF")).name
    assert len(panel.name) == 12


def test_channels_without_a_name_are_found_by_their_number(slide_with):
    panel = implicit_panel(slide_with("", "Channel 1", "Channel:0:2", *[""] * 8))
    assert panel.names == tuple(f"channel-{index}" for index in range(11))
    assert [marker.channel_index for marker in panel.markers] == list(range(11))


def test_two_channels_of_one_name_need_a_panel(slide_with):
    with pytest.raises(DataError, match=r"case\.tif: channels 0, 2 are all called 'dapi'.*--panel"):
        implicit_panel(slide_with("DAPI", "CD8", "dapi"))


@pytest.mark.parametrize(
    "name",
    ["DAPI", "dapi_01", "DAPI-2", "Hoechst 33342", "DNA1(Ir191)", "HH3", "Histone H3", "Nuclei"],
)
def test_well_known_nuclear_stains_are_known(name):
    assert is_nuclear(name)


@pytest.mark.parametrize("name", ["CD8", "DAPI AF", "H3K27me3", "gH2AX", "PDNA", "nucleolin"])
def test_other_names_are_no_nuclear_stains(name):
    assert not is_nuclear(name)


def test_the_background_is_subtracted_from_every_other_marker():
    panel = AF_PANEL.with_background("af", 0.5)
    assert [(each.background, each.background_scale) for each in panel.markers] == [
        ("AF", 0.5),
        ("AF", 0.5),
        (None, None),
    ]
    assert panel.names == ("DAPI", "CD8")


def test_a_marker_keeps_the_background_of_its_own():
    own = Marker("CD4", background="AF2", background_scale=2.0)
    panel = Panel((own, Marker("AF2", role="background"), Marker("AF"))).with_background("AF")
    assert panel.marker("CD4") == own
    assert panel.marker("AF2").background is None


def test_a_background_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="'AF3' is no marker of the panel; it has DAPI, CD8, AF"):
        AF_PANEL.with_background("AF3")


def test_a_panel_comes_back_from_json():
    panel = Panel(
        (Marker("CD8", ("CD8a",), "marker", 3, "AF", 0.5, 1.0, 9.0, 20.0), Marker("AF")), "p", True
    )
    assert Panel.from_json(json.loads(json.dumps(panel.to_json()))) == panel


def test_where_a_marker_lies_in_a_file_is_not_part_of_what_slides_share():
    here = Panel((Marker("CD8", channel_index=3), Marker("DAPI")), "p")
    there = Panel((Marker("CD8", ("CD8a",)), Marker("DAPI")), "p")
    assert here.identity == there.identity


def test_panels_that_differ_name_their_markers():
    here, there = AF_PANEL, Panel((Marker("DAPI"), Marker("FOXP3"), Marker("AF")))
    assert difference(here.identity, there.identity) == (
        "CD8.place: 1 asked, nothing there; FOXP3.place: nothing asked, 1 there"
    )
    turned = Panel((Marker("CD8"), Marker("DAPI"), Marker("AF")))
    assert difference(AF_PANEL.identity, turned.identity) == (
        "CD8.place: 1 asked, 0 there; DAPI.place: 0 asked, 1 there"
    )


def test_a_panel_that_contradicts_itself_is_refused():
    with pytest.raises(DataError, match="panel p: B and b share the name 'b'; rename one"):
        Panel((Marker("b"), Marker("B")), "p")
