"""The same facts over the multiplex readers on every real multi-channel file."""

import json
import logging
from dataclasses import dataclass

import numpy as np
import openslide
import pytest
import tifffile

from wsi_tools.errors import SlideError
from wsi_tools.slide import READERS, open_slide

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it speaks of every oddity it meets

CSM = ("DAPI", "PDL1", "GZMB", "PD1", "CK-EPCAM", "CD8a", "FOXP3")
TARGETS = tuple(f"Target{place}" for place in range(1, 6))
UNNAMED = tuple(f"channel-{place}" for place in range(5))
ARK = (
    "Background", "BetaCatenin", "BetaTubulin", "CD20", "CD3", "CD4", "CD45", "CD8", "CD9",
    "ECadherin", "ER", "GLUT1", "HER2", "HH3", "HLA_Class_1", "Ki67", "LaminAC", "Membrane",
    "NaK ATPase", "PanKeratin", "SMA", "Vimentin",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What a file is, as looked up in its source and its tags, not as read by us."""

    path: str
    reader: str
    size: tuple[int, int]
    channels: tuple[str, ...]
    dtype: str
    mpp: float | None
    source: str = ""
    levels: int = 1


CASES = (
    Case("csm_B09.ome.tiff", "ome", (500, 500), CSM, "uint8", None),
    Case(
        "small_vectra.qptiff", "ome", (1920, 1440), ("DAPI", "FITC", "Cy3"), "uint8",
        10_000 * 213_260 / (2**32 - 1), "tiff.resolution",
    ),
    Case("cytomapper/E34_imc.tiff", "ome", (100, 100), UNNAMED, "float32", None),
    Case("mibi_v0.1.tiff", "ome", (10, 10), TARGETS, "uint16", None),
    Case("ark_fov8_channels", "channel-folder", (1024, 1024), ARK, "uint8", None),
    Case(
        "ndpi/test3-DAPI-2-(387).ndpi", "fluorescent-ndpi", (3968, 4864), ("DAPI 2 (387)",),
        "uint8", 10_000 / 43_826, "openslide.mpp-x", 7,
    ),
)  # fmt: skip
NO_SLIDES = {
    "cytomapper/E34_mask.tiff": "one plane of uint16: a mask is no slide",
    "ark_fov8_channels/CD3.tiff": "one plane of uint8: a mask is no slide, and a slide in several",
    "csm_B09.npy": "not a TIFF file",
    "csm_channels.txt": ".txt is not one of",
}


@pytest.fixture
def slide(test_data, case):
    with open_slide(test_data / "mif" / case.path) as opened:
        yield opened


def by_definition(path):
    """All planes through the library that the reader stands on: (channels, height, width)."""
    if path.is_dir():
        return np.stack([tifffile.imread(file) for file in sorted(path.iterdir())])
    if path.suffix == ".ndpi":
        with openslide.OpenSlide(path) as beneath:
            colours = beneath.read_region((0, 0), 0, beneath.dimensions)
            return np.asarray(colours)[..., :3].max(axis=2)[None]
    return tifffile.imread(path, series=0)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)


@every_case
def test_auto_takes_the_one_reader_that_can_and_asks_no_other(slide, case):
    assert slide.info.reader == case.reader
    assert slide.info.tried == ()
    assert slide.info.multiplex


@every_case
def test_channels_size_and_resolution_are_the_files_own(slide, case):
    info = slide.info
    assert tuple(channel.name for channel in info.channels) == case.channels
    assert {channel.dtype for channel in info.channels} == {case.dtype}
    assert (info.size, len(info.levels)) == (case.size, case.levels)
    assert (info.resolution is None) == (case.mpp is None)
    if case.mpp:
        assert info.mpp == pytest.approx((case.mpp, case.mpp))
        assert info.resolution.source == case.source


@every_case
def test_every_plane_is_what_the_library_beneath_gives_to_the_bit(slide, case, test_data):
    found = slide.read(0, 0, *case.size, 0)
    assert found.dtype == case.dtype
    assert np.array_equal(found.transpose(2, 0, 1), by_definition(test_data / "mif" / case.path))


@every_case
def test_a_rectangle_is_a_crop_with_zero_around_and_channels_can_be_chosen(slide, case):
    width, height = case.size
    whole = slide.read(0, 0, width, height, 0)
    framed = np.pad(whole, ((9, 9), (9, 9), (0, 0)))
    last = len(case.channels) - 1
    with slide.only([last]) as one, one.reopen() as again:
        for x, y in ((-9, -9), (width - 9, height - 9), (width // 3, height // 2)):
            crop = framed[y + 9 : y + 27, x + 9 : x + 27]
            assert np.array_equal(slide.read(x, y, 18, 18, 0)[: len(crop), : crop.shape[1]], crop)
            for handle in (one, again):
                found = handle.read(x, y, 18, 18, 0)[: len(crop), : crop.shape[1]]
                assert np.array_equal(found, crop[..., [last]])
        assert [channel.name for channel in again.info.channels] == [case.channels[last]]


@every_case
def test_no_brightfield_reader_that_is_named_shows_it(test_data, case):
    for reader in ("openslide", "tiffslide", "image"):
        if reader in READERS:
            with pytest.raises(SlideError):
                open_slide(test_data / "mif" / case.path, reader=reader)


@pytest.mark.parametrize("name", NO_SLIDES)
def test_what_is_no_slide_is_refused_by_auto_and_by_every_multiplex_reader(test_data, name):
    with pytest.raises(SlideError) as caught:
        open_slide(test_data / "mif" / name)
    assert NO_SLIDES[name] in str(caught.value)
    for reader in ("ome", "ome-zarr", "channel-folder", "fluorescent-ndpi"):
        with pytest.raises(SlideError):
            open_slide(test_data / "mif" / name, reader=reader)


def test_the_planes_of_the_seven_channel_file_are_the_array_it_was_made_from(test_data):
    planes = np.load(test_data / "mif/csm_B09.npy")
    with open_slide(test_data / "mif/csm_B09.ome.tiff") as slide:
        assert np.array_equal(slide.read(0, 0, 500, 500, 0).transpose(2, 0, 1), planes)


def test_a_vectra_scan_tells_its_exposures_and_its_nominal_pixel_after_the_measured_one(test_data):
    with open_slide(test_data / "mif/small_vectra.qptiff") as slide:
        info = slide.info
    assert [channel.exposure_ms for channel in info.channels] == pytest.approx(
        [2.63, 14.29, 208.03]
    )
    assert [each.source for each in info.resolutions] == [
        "tiff.resolution",
        "qptiff.PixelSizeMicrons",
    ]
    assert info.resolutions[1].mpp_x == 0.5


def test_a_mibi_image_states_a_pixel_that_nobody_made_and_it_is_refused(test_data):
    path = test_data / "mif/mibi_v0.1.tiff"
    with tifffile.TiffFile(path) as tiff:
        told = [json.loads(page.aspage().description)["channel.target"] for page in tiff.pages]
    with open_slide(path) as slide, open_slide(path, mpp_override=0.5) as stated:
        assert [channel.name for channel in slide.info.channels] == told
        assert slide.info.resolutions[0].refused == "50 µm/px is not between 0.05 and 5"
        assert stated.info.mpp == (0.5, 0.5)


def test_brightness_of_a_fluorescence_scan_lies_in_one_colour_alone(test_data):
    """The reader takes the largest of three values for the marker: here the others are noise."""
    with openslide.OpenSlide(test_data / "mif/ndpi/test3-DAPI-2-(387).ndpi") as beneath:
        colours = np.asarray(beneath.read_region((0, 0), 0, beneath.dimensions))
    red, green, blue = (colours[..., place] for place in range(3))
    assert max(red.max(), green.max()) <= 10
    assert blue.max() == 255
