import pytest

from wsi_tools.channels import CHANNEL_RECIPES, Marker, Panel

FLUOROFORMER = CHANNEL_RECIPES["fluoroformer"]


@pytest.mark.parametrize(
    ("panel", "named", "background"),
    [
        (None, None, "CD8"),
        (None, "AF", "AF"),
        (Panel((Marker("CD8"), Marker("AF", role="background"), Marker("DAPI")), "p"), None, "AF"),
        (Panel((Marker("CD8"), Marker("AF"), Marker("DAPI")), "p"), None, "DAPI"),
        (Panel((Marker("CD8"), Marker("AF"), Marker("DAPI")), "p"), "AF", "AF"),
    ],
)
def test_the_background_is_the_one_named_or_the_last(slide_with, panel, named, background):
    made = FLUOROFORMER.panel(slide_with("AF", "DAPI", "CD8"), panel, named)
    less = {marker.name for marker in made.markers if marker.background == background}
    assert less == {"AF", "DAPI", "CD8"} - {background}
    assert set(made.names) == {"AF", "DAPI", "CD8"}


def test_exposures_do_not_scale_its_background(slide_with):
    info = slide_with("CD8", "AF", exposures_ms={"CD8": 30.0, "AF": 10.0})
    found = FLUOROFORMER.panel(info).matched(info)
    assert [marker.background_scale for marker in found.markers] == [1.0, 1.0]
    assert [marker.background for marker in found.markers] == [None, 1]
