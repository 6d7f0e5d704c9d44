"""Multi-channel TIFFs made here: pixels against the array written, and what is said and refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from wsi_tools.errors import InputError, SlideError
from wsi_tools.slide import open_slide

MARKERS = ["DAPI", "CD8", "CD3", "PanCK", "AF"]


def noise(shape, dtype, seed=1):
    values = np.random.default_rng(seed).integers(0, 60_000, shape)
    return (values / 7).astype(dtype) if dtype == "float32" else values.astype(dtype)


def write_ome(path, planes, *, axes="CYX", levels=1, sizes=None, names=MARKERS, **options):
    """An OME-TIFF; lower levels, every second pixel of the one above, hang below the first."""
    metadata = {"axes": axes, "Channel": {"Name": names}, **(sizes or {})}
    options = {"photometric": "minisblack", "tile": (64, 64), **options}
    with tifffile.TiffWriter(path, ome=True, byteorder=options.pop("byteorder", None)) as tiff:
        tiff.write(planes, subifds=levels - 1, metadata=metadata, **options)
        for level in range(1, levels):
            tiff.write(planes[..., :: 2**level, :: 2**level], subfiletype=1, **options)
    return path


def planes_of(slide, level=0):
    """The whole level: (channels, height, width)."""
    return slide.read(0, 0, *slide.info.levels[level].size, level).transpose(2, 0, 1)


def chosen(slide, channels):
    """The whole of these channels, through a handle of its own."""
    with slide.only(channels) as handle:
        return planes_of(handle)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "stored",
    [
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zlib", "tile": None, "rowsperstrip": 7},
        {"tile": None},
        {"byteorder": ">"},
        {"byteorder": ">", "tile": None},
    ],
    ids=str,
)
def test_every_level_is_what_was_written_to_the_bit(tmp_path, dtype, stored):
    planes = noise((5, 201, 333), dtype)
    with open_slide(write_ome(tmp_path / "a.ome.tiff", planes, levels=3, **stored)) as slide:
        assert slide.info.reader == "ome"
        assert slide.info.multiplex
        assert [level.size for level in slide.info.levels] == [(333, 201), (167, 101), (84, 51)]
        for level in range(3):
            found = planes_of(slide, level)
            assert found.dtype == dtype
            assert np.array_equal(found, planes[..., :: 2**level, :: 2**level])


def test_a_rectangle_is_a_crop_wherever_it_lies_with_zero_around(tmp_path):
    planes = noise((5, 201, 333), "uint16")
    framed = np.pad(planes, ((0, 0), (90, 90), (90, 90)))
    with open_slide(write_ome(tmp_path / "a.ome.tiff", planes)) as slide:
        for x, y in ((-40, -40), (0, 0), (63, 64), (100, 5), (300, 150), (-90, 201), (333, 0)):
            crop = framed[:, y + 90 : y + 170, x + 90 : x + 160]
            found = slide.read(x, y, 70, 80, 0).transpose(2, 0, 1)
            assert np.array_equal(found[:, : crop.shape[1], : crop.shape[2]], crop)


@pytest.mark.parametrize("tile", [None, (64, 64)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_that_are_no_colours_are_channels_beside_one_another_or_apart(
    tmp_path, planar, tile
):
    planes = noise((5, 130, 170), "uint16")
    stored = planes.transpose(1, 2, 0) if planar == "contig" else planes
    path = tmp_path / "a.tiff"
    for compression in (None, "zlib"):
        tifffile.imwrite(
            path, stored, photometric="minisblack", planarconfig=planar, tile=tile,
            compression=compression,
        )  # fmt: skip
        with open_slide(path) as slide:
            assert np.array_equal(planes_of(slide), planes)
            assert np.array_equal(chosen(slide, [3, 1]), planes[[3, 1]])


def test_only_shows_the_channels_chosen_in_that_order_and_reopening_keeps_the_choice(tmp_path):
    planes = noise((5, 100, 100), "uint16")
    path = write_ome(tmp_path / "a.ome.tiff", planes)
    with open_slide(path) as slide, slide.only([4, 0, 2]) as three, three.reopen() as again:
        assert [channel.name for channel in three.info.channels] == ["AF", "DAPI", "CD3"]
        assert [channel.index for channel in three.info.channels] == [4, 0, 2]
        assert np.array_equal(planes_of(three), planes[[4, 0, 2]])
        assert np.array_equal(planes_of(again), planes[[4, 0, 2]])
        assert np.array_equal(chosen(three, [2, 0]), planes[[2, 4]])
        assert np.array_equal(three.read(-9, -9, 9, 9, 0), np.zeros((9, 9, 3), np.uint16))
        for place in (5, -1):
            with pytest.raises(InputError, match=rf"a\.ome\.tiff: no channel {place}; it has 5"):
                slide.only([place])


def test_brightfield_has_no_channels_to_choose(tmp_path):
    tifffile.imwrite(tmp_path / "a.tiff", noise((90, 90, 3), "uint8"), photometric="rgb")
    with open_slide(tmp_path / "a.tiff") as slide, pytest.raises(InputError, match="brightfield"):
        slide.only([0])


def damage(path, page, tile):
    """Overwrite what is stored of one tile with bytes that no codec takes."""
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[page].dataoffsets[tile]
        length = tiff.pages[page].databytecounts[tile]
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\xff" * length)


def test_a_damaged_tile_fails_where_it_lies_and_names_its_channel(tmp_path):
    planes = noise((3, 192, 192), "uint16")
    path = write_ome(tmp_path / "a.ome.tiff", planes, names=MARKERS[:3], compression="zlib")
    damage(path, page=1, tile=8)  # the last; the probe looks at the middle
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(0, 0, 128, 192, 0), planes[:, :, :128].transpose(1, 2, 0))
        with pytest.raises(SlideError, match=r"a\.ome\.tiff: ome cannot decode .* \(channel CD8: "):
            slide.read(100, 100, 92, 92, 0)
        assert np.array_equal(chosen(slide, [2, 0]), planes[[2, 0]])  # CD8 is never decoded


def write_described_first(path, planes, **options):
    """An OME-TIFF whose XML lies before the planes, so that cutting the end cuts planes alone."""
    xml = tifffile.OmeXml()
    xml.addimage(planes.dtype, planes.shape, (5, 1, 1, 200, 200, 1), axes="CYX",
                 Channel={"Name": MARKERS})  # fmt: skip
    with tifffile.TiffWriter(path) as tiff:
        for place, plane in enumerate(planes):
            tiff.write(
                plane, tile=(64, 64), metadata=None, photometric="minisblack",
                description=xml.tostring(declaration=True) if place == 0 else None, **options,
            )  # fmt: skip
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_a_plane_that_is_cut_short_is_refused_with_its_channel(tmp_path, options):
    path = write_described_first(tmp_path / "a.ome.tiff", noise((5, 200, 200), "uint16"), **options)
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.info.channels] == MARKERS
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1000)
    with pytest.raises(SlideError, match=r"\(ome: channel AF: the file ends 1,000 bytes too early"):
        open_slide(path)


def test_a_file_with_fewer_planes_than_it_tells_of_is_refused(tmp_path):
    path = write_described_first(tmp_path / "a.ome.tiff", noise((5, 200, 200), "uint16"))
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages[4].offset
    with path.open("r+b") as stream:
        stream.truncate(last)
    with pytest.raises(SlideError, match="channel AF: its plane is not in the file, which was cut"):
        open_slide(path)


def test_permuted_planes_with_permuted_names_are_the_same_channels(tmp_path):
    planes = noise((5, 80, 90), "uint16")
    order = [3, 0, 4, 2, 1]
    write_ome(tmp_path / "one.ome.tiff", planes)
    write_ome(tmp_path / "other.ome.tiff", planes[order], names=[MARKERS[at] for at in order])

    def by_name(path):
        with open_slide(path) as slide:
            names = [channel.name for channel in slide.info.channels]
            return chosen(slide, [names.index(name) for name in MARKERS])

    assert np.array_equal(by_name(tmp_path / "one.ome.tiff"), planes)
    assert np.array_equal(by_name(tmp_path / "other.ome.tiff"), planes)


def test_names_exposures_and_the_size_of_a_pixel_come_from_the_ome_xml(tmp_path):
    sizes = {
        "PhysicalSizeX": 325.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.000325,
        "PhysicalSizeYUnit": "mm",
        "Plane": {"ExposureTime": [0.5, 0.25, 100.0, 2.0, 1.0],
                  "ExposureTimeUnit": ["s", "s", "ms", "s", "s"]},
    }  # fmt: skip
    path = write_ome(tmp_path / "a.ome.tiff", noise((5, 90, 80), "uint16"), sizes=sizes)
    with open_slide(path) as slide:
        info = slide.info
    assert [channel.name for channel in info.channels] == MARKERS
    assert [channel.exposure_ms for channel in info.channels] == [500, 250, 100, 2000, 1000]
    assert {channel.dtype for channel in info.channels} == {"uint16"}
    assert info.mpp == pytest.approx((0.325, 0.325))
    assert info.resolution.source == "ome.PhysicalSize"


def test_of_a_stack_the_middle_plane_and_the_first_time_point_are_shown_and_said(tmp_path):
    stack = noise((2, 3, 5, 40, 50), "uint16")
    path = write_ome(tmp_path / "a.ome.tiff", stack, axes="TCZYX", names=MARKERS[:3], tile=None)
    with open_slide(path) as slide:
        assert np.array_equal(planes_of(slide), stack[0, :, 2])
        assert slide.info.warnings == (
            "5 z planes; plane 2, the middle one, is shown",
            "2 time points; the first is shown",
        )


@pytest.mark.parametrize("truncate", [False, True])
def test_an_imagej_hyperstack_gives_its_labels_and_its_unit(tmp_path, truncate):
    planes = noise((3, 60, 70), "uint16")
    path = tmp_path / "a.tif"
    metadata = {"axes": "CYX", "Labels": MARKERS[:3], "unit": "micron"}
    tifffile.imwrite(
        path, planes, imagej=True, truncate=truncate, metadata=metadata, resolution=(2.0, 4.0)
    )
    with open_slide(path) as slide:
        assert slide.info.vendor == "imagej"
        assert [channel.name for channel in slide.info.channels] == MARKERS[:3]
        assert slide.info.mpp == (0.5, 0.25)
        assert np.array_equal(planes_of(slide), planes)


def write_qptiff(path, levels, dtypes=("uint16",) * 3, colours=()):
    """As a Vectra Polaris writes it: planes, a thumbnail, lower levels, the overview, the label."""
    software = {"software": "PerkinElmer-QPI", "metadata": None}

    def described(kind, name, exposure_us):
        return (
            f"<PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType><Name>F</Name>"
            f"<Biomarker>{name}</Biomarker><ExposureTime>{exposure_us}</ExposureTime>"
            "<ScanProfile><root><ScanResolution><PixelSizeMicrons>0.5</PixelSizeMicrons>"
            "</ScanResolution></root></ScanProfile></PerkinElmer-QPI-ImageDescription>"
        )

    with tifffile.TiffWriter(path) as tiff:
        for level, planes in enumerate(levels):
            for place, (plane, dtype) in enumerate(zip(planes, dtypes, strict=True)):
                text = described("FullResolution", MARKERS[place], 1000 * (place + 1))
                tiff.write(
                    plane.astype(dtype), tile=(64, 64), compression="lzw", description=text,
                    photometric="minisblack", subfiletype=bool(level), **software,
                )  # fmt: skip
            if level == 0:
                tiff.write(colours, photometric="rgb", description="Thumbnail", **software)
        for _ in ("overview", "label"):
            tiff.write(colours, photometric="rgb", description="private", **software)
    return path


def test_a_qptiff_gives_its_pyramid_and_never_its_thumbnail_overview_or_label(tmp_path):
    planes = noise((3, 400, 600), "uint16")
    levels = [planes[:, :: 2**level, :: 2**level] for level in range(3)]
    path = write_qptiff(tmp_path / "a.qptiff", levels, colours=noise((40, 60, 3), "uint8"))
    with open_slide(path) as slide:
        assert slide.info.vendor == "qptiff"
        assert [level.size for level in slide.info.levels] == [(600, 400), (300, 200), (150, 100)]
        assert [channel.name for channel in slide.info.channels] == MARKERS[:3]
        assert [channel.exposure_ms for channel in slide.info.channels] == [1.0, 2.0, 3.0]
        assert slide.info.resolution.source == "qptiff.PixelSizeMicrons"
        assert slide.info.mpp == (0.5, 0.5)
        for place, level in enumerate(levels):
            assert np.array_equal(planes_of(slide, place), level)


def test_a_qptiff_whose_channels_differ_in_depth_is_refused(tmp_path):
    planes = noise((3, 100, 100), "uint8")
    path = write_qptiff(
        tmp_path / "a.qptiff", [planes], ("uint8", "uint8", "uint16"), np.zeros((9, 9, 3), "uint8")
    )
    with pytest.raises(SlideError, match="planes of uint16 and of uint8 in one file"):
        open_slide(path)


def test_of_several_pictures_the_largest_is_shown_and_it_is_said(tmp_path):
    path = tmp_path / "a.ome.tiff"
    large = noise((2, 90, 80), "uint16")
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for name, planes in (("small", large[:, :50, :40]), ("large", large)):
            tiff.write(planes, photometric="minisblack", metadata={"axes": "CYX", "Name": name})
    with open_slide(path) as slide:
        assert np.array_equal(planes_of(slide), large)
        assert slide.info.warnings == (
            "2 pictures in the file; the first of the largest, 'large', is shown",
        )


def test_pages_are_called_by_their_names_unless_these_do_not_tell_them_apart(tmp_path):
    def written(name, descriptions):
        with tifffile.TiffWriter(tmp_path / name) as tiff:
            for text in descriptions:
                tiff.write(np.zeros((40, 40), "uint16"), description=text, metadata=None,
                           photometric="minisblack")  # fmt: skip
        with open_slide(tmp_path / name) as slide:
            return [channel.name for channel in slide.info.channels]

    assert written("a.tif", ["DAPI", "CD8"]) == ["DAPI", "CD8"]
    assert written("b.tif", ["DAPI", "DAPI"]) == ["channel-0", "channel-1"]
    assert written("c.tif", ["", ""]) == ["channel-0", "channel-1"]
    assert written("d.tif", ['{"channel.target": "CD4"}', '{"channel.target": "CD3"}']) == [
        "CD4",
        "CD3",
    ]


def test_one_plane_is_a_marker_in_a_microscopes_format_and_nothing_elsewhere(tmp_path):
    plane = noise((50, 60), "uint16")
    ome = write_ome(tmp_path / "a.ome.tiff", plane, axes="YX", names=["DAPI"])
    with open_slide(ome) as slide:
        assert [channel.name for channel in slide.info.channels] == ["DAPI"]
        assert np.array_equal(planes_of(slide), plane[None])
    tifffile.imwrite(tmp_path / "mask.tif", plane)
    with pytest.raises(SlideError, match="one plane of uint16: a mask is no slide"):
        open_slide(tmp_path / "mask.tif")


def test_pages_that_no_two_alike_make_a_picture_are_called_so_and_no_mask(tmp_path):
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tiff:
        tiff.write(noise((64, 64), "uint16"))
        tiff.write(noise((64, 64), "uint8"))
    with pytest.raises(SlideError, match="2 pictures of different sizes or values"):
        open_slide(tmp_path / "mixed.tif")


def test_planes_of_different_depth_or_size_and_labels_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tiff:
        for dtype in ("uint8", "uint8", "uint16"):
            tiff.write(np.zeros((40, 40), dtype), metadata=None, photometric="minisblack")
    with pytest.raises(SlideError, match="planes of uint16 and of uint8 in one file"):
        open_slide(tmp_path / "mixed.tif")
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as tiff:
        for shape in ((40, 40), (40, 40), (30, 40)):
            tiff.write(np.zeros(shape, "uint8"), metadata=None, photometric="minisblack")
    with pytest.raises(SlideError, match="planes of 40 × 40 and of 40 × 30 pixels in one file"):
        open_slide(tmp_path / "sizes.tif")
    labels = np.zeros((2, 40, 40), "uint32")
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    with pytest.raises(SlideError, match="uint32 values; markers are of uint8, uint16, float32"):
        open_slide(tmp_path / "labels.tif")


def test_a_plane_claimed_as_one_enormous_strip_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(2):
            tiff.write(np.zeros((40, 40), "uint16"), metadata=None, compression="zlib",
                       photometric="minisblack")  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for page in tiff.pages:
            for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                page.aspage().tags[name].overwrite(10**6)
    with pytest.raises(SlideError, match="claims 1000000 × 1000000 pixels per tile or strip"):
        open_slide(path)


def test_threads_with_handles_of_their_own_read_the_same(tmp_path):
    planes = noise((5, 500, 500), "uint16")
    path = write_ome(tmp_path / "a.ome.tiff", planes, compression="zlib")

    def read(places, slide):
        with slide.reopen() as own:
            return [own.read(x, y, 100, 100, 0) for x, y in places]

    places = [(x, y) for y in range(0, 401, 57) for x in range(0, 401, 57)]
    with open_slide(path) as slide, ThreadPoolExecutor(4) as pool:
        shares = [places[at::4] for at in range(4)]
        for share, found in zip(shares, pool.map(read, shares, [slide] * 4), strict=True):
            for (x, y), crop in zip(share, found, strict=True):
                assert np.array_equal(crop.transpose(2, 0, 1), planes[:, y : y + 100, x : x + 100])
