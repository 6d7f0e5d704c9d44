from pathlib import Path

import pytest

from wsi_tools.channels import Marker, read_panel
from wsi_tools.errors import DataError


def test_a_table_of_mcmicro_is_read_with_its_backgrounds_and_exposures(panel_of):
    panel = panel_of(
        "channel_number,cycle_number,marker_name,Filter,background,exposure,remove",
        "1,1,DAPI,Hoechst,,100,",
        "2,1,AF555,Cy3,,100,TRUE",
        "3,2,CD8,Cy3,AF555,300,",
        "4,2,empty,Cy5,,300,TRUE",
    )
    assert panel.markers == (
        Marker("DAPI", role="nuclear", exposure_ms=100.0),
        Marker("AF555", role="background", exposure_ms=100.0),
        Marker("CD8", background="AF555", exposure_ms=300.0),
        Marker("empty", role="ignore", exposure_ms=300.0),
    )
    assert panel.names == ("DAPI", "CD8")
    assert panel.name == "panel"


def test_our_own_columns_are_read(panel_of):
    panel = panel_of(
        "marker_name,channel_index,alias,role,background,background_scale,min,max",
        "CD8,3,CD8a; CD-8 ,marker,AF,0.5,10,200",
        "AF,0,,,,,,",
    )
    assert panel.markers[0] == Marker(
        "CD8", ("CD8a", "CD-8"), "marker", 3, "AF", 0.5, low=10.0, high=200.0
    )
    assert panel.markers[0].range == (10.0, 200.0)
    assert panel.markers[1].role == "background"


def test_a_background_named_by_an_alias_is_a_background(panel_of):
    panel = panel_of("marker_name,alias,background", "CD8,,AF", "Autofluorescence,af,")
    assert panel.names == ("CD8",)


def test_the_order_of_the_rows_is_the_order_of_the_store(panel_of):
    assert panel_of("marker_name", "FOXP3", "CD8", "DAPI").names == ("FOXP3", "CD8", "DAPI")


def test_a_byte_order_mark_blank_lines_and_spaces_do_no_harm(panel_of):
    panel = panel_of("Marker_Name , role", " CD8 , Marker", "", " , ", encoding="utf-8-sig")
    assert panel.markers == (Marker("CD8"),)


def test_tabs_part_the_columns_of_a_tsv(panel_of):
    panel = panel_of("marker_name\talias", "CD8\tCD8a;x,y", name="my panel.tsv")
    assert panel.markers[0].aliases == ("CD8a", "x,y")
    assert panel.name == "my-panel"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("name", "CD8"), r"panel\.csv line 1: no column marker_name"),
        (("marker_name,backgroud", "CD8,AF"), "line 1: .*'backgroud'; did you mean 'background'"),
        (("marker_name,role,role", "CD8,,"), "line 1: column role is there twice"),
        (("marker_name",), "line 1: no marker is left"),
        (("marker_name,role", "CD8,", "CD4,nucleus"), "line 3: the role 'nucleus' of CD4"),
        (("marker_name", "CD8", "", "cd8"), "line 4: cd8 and CD8 share the name 'cd8'"),
        (("marker_name,alias", "CD8,CD8a", "X,CD8A"), "line 3: X and CD8 share the name 'cd8a'"),
        (("marker_name,background", "CD8,AF"), "line 2: the background 'AF' of CD8 is not in"),
        (("marker_name,background", "CD8,cd8"), "line 2: CD8 is its own background"),
        (("marker_name,min,max", "CD8,5,5"), "line 2: min 5 of CD8 is not below max 5"),
        (("marker_name,max", "CD8,0"), "line 2: min 0 of CD8 is not below max 0"),
        (("marker_name,max", "CD8,nan"), "line 2: the range of CD8 is not finite"),
        (("marker_name,min", "CD8,5"), "line 2: CD8 has a min and no max"),
        (("marker_name,max", "CD8,much"), "line 2: .*'much'.*; correct the number"),
        (("marker_name,channel_index", "CD8,1.5"), "line 2: .*'1.5'.*; correct the number"),
        (("marker_name,channel_index", "CD8,-1"), "line 2: channel_index -1 of CD8 is negative"),
        (("marker_name,channel_index", "A,1", "B,1"), "line 3: B and A are both channel 1"),
        (("marker_name,exposure", "CD8,0"), "line 2: a scale or exposure of CD8"),
        (("marker_name,role", ",marker"), "line 2: a marker without a name"),
        (("marker_name", "CD8,DAPI"), "line 2: 2 cells under 1 columns"),
        (("marker_name,role", "AF,background", "X,ignore"), "line 2: no marker is left"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(panel_of, lines, message):
    with pytest.raises(DataError, match=message):
        panel_of(*lines)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "panel.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"panel\.csv: cannot be read .*; give a panel as CSV"):
        read_panel(tmp_path / "panel.csv")
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_panel(tmp_path / "none.csv")
