"""Opening files made here: what is refused, what is said, what is recorded."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from wsi_tools.errors import InputError, SlideError
from wsi_tools.slide import open_slide
from wsi_tools.slide.fingerprint import fingerprint
from wsi_tools.slide.opening import auto_order, on_white
from wsi_tools.slide.tiff import survey

NOISE = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def write_tiff(path, pixels=NOISE, **options):
    tifffile.imwrite(path, pixels, **({"photometric": "rgb", "tile": (64, 64)} | options))
    return path


def claim(path, **tags):
    """Overwrite tags of the first page with what they do not hold."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in tags.items():
            tiff.pages[0].tags[name].overwrite(value)


def refusal(path, **options):
    with pytest.raises(SlideError) as caught:
        open_slide(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path.parent) not in text
    return text


@pytest.mark.parametrize("reader", ["auto", "openslide", "tiffslide"])
def test_a_tiff_that_claims_a_million_squared_pixels_per_tile_is_refused_unread(tmp_path, reader):
    path = write_tiff(tmp_path / "bomb.tiff")
    claim(path, ImageWidth=10**6, ImageLength=10**6, TileWidth=10**6, TileLength=10**6)
    assert "claims 1000000 × 1000000 pixels per tile" in refusal(path, reader=reader)


def test_a_strip_tiff_that_claims_too_much_is_refused_unread(tmp_path):
    path = write_tiff(tmp_path / "bomb.tiff", tile=None)
    claim(path, ImageWidth=10**6, ImageLength=10**6, RowsPerStrip=10**6)
    assert "1000000 × 1000000 pixels per picture" in refusal(path, reader="image")
    assert "1000000 × 1000000 pixels per tile or strip" in refusal(path, reader="tiffslide")


def test_a_png_that_claims_too_much_is_refused_unread(tmp_path):
    def chunk(content):
        checksum = struct.pack(">I", zlib.crc32(content))
        return struct.pack(">I", len(content) - 4) + content + checksum

    header = b"IHDR" + struct.pack(">IIBBBBB", 10**5, 10**5, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(b"IDAT" + zlib.compress(b"")))
    assert "claims 100000 × 100000 pixels per picture; the limit is 100,000,000" in refusal(path)


@pytest.mark.parametrize("reader", ["openslide", "tiffslide", "image"])
def test_a_multi_channel_tiff_is_refused_by_every_brightfield_reader(tmp_path, reader):
    planes = np.zeros((7, 128, 128), np.uint8)
    path = tmp_path / "panel.ome.tiff"
    tifffile.imwrite(
        path, planes, tile=(64, 64), metadata={"axes": "CYX"}, photometric="minisblack"
    )
    assert (
        "multi-channel (7 planes, CYX uint8) and no brightfield; read it with --reader auto or ome"
    ) in refusal(path, reader=reader)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (NOISE.astype(np.uint16), "3 sample(s) of uint16 per pixel"),
        (NOISE[..., 0], "one plane of uint8: a mask is no slide"),
    ],
)
def test_a_tiff_without_byte_colours_is_refused(tmp_path, pixels, said):
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    path = write_tiff(tmp_path / "odd.tif", pixels, photometric=kind)
    assert said in refusal(path)


def test_a_folder_an_absent_file_and_an_unknown_reader_each_get_their_line(tmp_path):
    assert refusal(tmp_path / "none.svs") == "none.svs: there is no such file; check the path"
    with pytest.raises(InputError, match="did you mean 'openslide'"):
        open_slide(write_tiff(tmp_path / "a.tiff"), reader="openslid")


def test_every_reader_says_why_it_could_not_and_equal_reasons_are_said_once(tmp_path):
    path = tmp_path / "note.tiff"
    path.write_text("not a slide")
    assert refusal(path) == (
        "note.tiff: no reader could open it (openslide: Unsupported or missing image file; "
        "tiffslide, image: not a TIFF file: header=b'not '); "
        "check that the file is whole and of a format that `wsitools info` reads"
    )


def retype(path, name):
    """Say of a tag of the first page that it holds bytes."""
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags[name].offset + 2
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(struct.pack("<H", 1))


def test_a_tiff_whose_tags_cannot_be_read_is_not_shown_as_brightfield(tmp_path):
    """OpenSlide reads this one, and takes the first of its seven channels for a picture."""
    path = tmp_path / "panel.tiff"
    planes = np.zeros((7, 128, 128), np.uint8)
    tifffile.imwrite(path, planes, tile=(64, 64), photometric="minisblack", metadata=None)
    retype(path, "SamplesPerPixel")
    with openslide.OpenSlide(path) as beneath:
        assert beneath.dimensions == (128, 128)
    assert "no reader could open it" in refusal(path)


@pytest.mark.parametrize("name", ["XResolution", "YResolution", "ResolutionUnit"])
def test_a_resolution_tag_of_a_strange_type_says_nothing(tmp_path, name):
    path = write_tiff(tmp_path / "odd.tiff", resolution=(20_000, 20_000), resolutionunit=3)
    retype(path, name)
    assert survey(path).resolutions == ()
    assert survey(write_tiff(path, resolution=(20_000, 20_000), resolutionunit=3)).resolutions


def test_a_lone_mirax_file_is_not_shown_as_the_thumbnail_it_contains(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "s.mrxs", format="jpeg")
    assert "image: .mrxs is not one of" in refusal(tmp_path / "s.mrxs")


def test_auto_asks_by_what_the_tags_say(tmp_path):
    ome = tmp_path / "a.ome.tiff"
    tifffile.imwrite(ome, NOISE, tile=(64, 64), photometric="rgb", metadata={"axes": "YXS"})
    assert auto_order(ome) == ("tiff", "tiffslide", "openslide", "image")
    tiled = write_tiff(tmp_path / "tiled.tiff")
    assert auto_order(tiled) == ("tiff", "openslide", "tiffslide", "image")
    flat = write_tiff(tmp_path / "flat.tiff", tile=None)
    assert auto_order(flat) == ("openslide", "image", "tiffslide")
    assert auto_order(tmp_path / "none.png") == ("openslide", "tiffslide", "image")


def test_the_reader_and_every_refusal_before_it_are_recorded(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.info.reader == "image"
        assert [name for name, _ in slide.info.tried] == ["openslide", "tiffslide"]


def test_a_slide_without_resolution_says_so_when_it_is_asked(tmp_path):
    with open_slide(write_tiff(tmp_path / "case.tiff", resolutionunit="none")) as slide:
        assert slide.info.resolution is None
        with pytest.raises(SlideError) as caught:
            _ = slide.info.mpp
    assert str(caught.value) == (
        "case.tiff: no resolution in the file; give it with --mpp-override 0.25"
    )


def test_a_slide_with_an_absurd_resolution_names_it_and_the_way_out(tmp_path):
    path = write_tiff(tmp_path / "case.tiff", resolution=(72, 72), resolutionunit="inch")
    with open_slide(path, reader="openslide") as slide, pytest.raises(SlideError) as caught:
        _ = slide.info.mpp
    said = "352.8 µm/px is not between 0.05 and 5"
    assert str(caught.value) == (
        f"case.tiff: no believable resolution in the file (openslide.mpp-x: {said}, "
        f"tiff.resolution: {said}); give it with --mpp-override 0.25"
    )


def test_what_the_caller_states_is_ranked_with_what_the_file_states(tmp_path):
    path = write_tiff(tmp_path / "a.tiff", resolution=(20_000, 20_000), resolutionunit="centimeter")
    with open_slide(path, mpp_manifest=0.25, mpp_override=0.26, mpp_fallback=1.0) as slide:
        assert [(each.source, each.mpp_x) for each in slide.info.resolutions] == [
            ("manifest", 0.25),
            ("--mpp-override", 0.26),
            ("openslide.mpp-x", 0.5),
            ("tiff.resolution", 0.5),
            ("--mpp-fallback", 1.0),
        ]
        assert slide.info.mpp == (0.25, 0.25)
        assert slide.info.warnings[0] == (
            "--mpp-override says 0.26 µm/px, manifest 0.25; manifest is used"
        )


def test_an_unbelievable_override_is_a_usage_error_and_no_readers_fault(tmp_path):
    with pytest.raises(InputError, match="--mpp-override 50"):
        open_slide(write_tiff(tmp_path / "a.tiff"), mpp_override=50)


def test_reading_beyond_every_edge_is_white_there(tmp_path):
    with open_slide(write_tiff(tmp_path / "a.tiff")) as slide:
        found = slide.read(-10, -20, 450, 350, 0)
        expected = np.full((350, 450, 3), 255, np.uint8)
        expected[20:320, 10:410] = NOISE
        assert np.array_equal(found, expected)
        assert slide.read(5000, 5000, 8, 8, 0).min() == 255
        assert slide.read(-50, 10, 8, 8, 0).min() == 255


@pytest.mark.parametrize("name", ["a.png", "flat.tiff", "tiled.tiff"])
def test_what_was_read_is_the_callers_to_change(tmp_path, name):
    if name == "a.png":
        Image.fromarray(NOISE).save(tmp_path / name)
    else:
        write_tiff(tmp_path / name, tile=None if name == "flat.tiff" else (64, 64))
    with open_slide(tmp_path / name) as slide:
        slide.read(0, 0, 400, 300, 0)[:] = 0
        assert np.array_equal(slide.read(0, 0, 400, 300, 0), NOISE)


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = 10, 20, 30, 255
    pixels[0, 1] = 0, 0, 0, 0
    pixels[1, 0] = 100, 100, 100, 51  # a fifth
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        found = slide.read(0, 0, 2, 2, 0)
    assert found.tolist() == [[[10, 20, 30], [255] * 3], [[224] * 3, [255] * 3]]


def test_laying_on_white_rounds_to_the_nearest_value():
    colour, alpha = np.meshgrid(np.arange(256.0), np.arange(256.0))
    exact = (colour * alpha + 255 * (255 - alpha)) / 255
    pixels = np.stack([colour, colour, colour, alpha], axis=2).astype(np.uint8)
    assert np.array_equal(on_white(pixels)[..., 0], np.floor(exact + 0.5))


def test_palette_colours_are_read(tmp_path):
    picture = Image.fromarray(NOISE // 64 * 64).convert("P", palette=Image.Palette.ADAPTIVE)
    picture.save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert np.array_equal(slide.read(0, 0, 400, 300, 0), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize(
    ("mode", "said"), [("L", "mode L"), ("I;16", "mode I;16"), ("1", "mode 1")]
)
def test_a_picture_without_colours_is_refused(tmp_path, mode, said):
    Image.new(mode, (32, 32)).save(tmp_path / "a.png")
    assert said in refusal(tmp_path / "a.png")


def test_a_picture_cut_short_is_refused(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:50_000])
    assert "image: image file is truncated" in refusal(tmp_path / "half.png")


def test_a_damaged_tile_is_an_error_that_says_where_and_a_fresh_handle_reads_on(tmp_path):
    path = write_tiff(tmp_path / "a.tiff", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    for reader in ("openslide", "tiffslide"):
        with open_slide(path, reader=reader) as slide:
            with pytest.raises(
                SlideError, match=r"a.tiff: \w+ cannot decode 8 × 8 pixels at \(0, 0\)"
            ):
                slide.read(0, 0, 8, 8, 0)
            with slide.reopen() as fresh:
                assert np.array_equal(fresh.read(100, 100, 8, 8, 0), NOISE[100:108, 100:108])


@pytest.mark.parametrize("reader", ["openslide", "tiffslide", "image"])
def test_each_thread_reads_through_its_own_handle(tmp_path, reader):
    options = {"tile": None} if reader == "image" else {}
    with open_slide(write_tiff(tmp_path / "a.tiff", **options), reader=reader) as slide:

        def crop(x):
            with slide.reopen() as own:
                return own.read(x, 5, 50, 50, 0)

        with ThreadPoolExecutor(4) as pool:
            crops = list(pool.map(crop, range(0, 350, 7)))
        assert all(np.array_equal(c, NOISE[5:55, 7 * i : 7 * i + 50]) for i, c in enumerate(crops))
        assert np.array_equal(slide.read(0, 0, 400, 300, 0), NOISE)


def test_a_closed_slide_says_so_and_closes_twice(tmp_path):
    slide = open_slide(write_tiff(tmp_path / "a.tiff"))
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="read after it was closed"):
        slide.read(0, 0, 1, 1, 0)


def test_the_fingerprint_follows_the_bytes_and_nothing_else(tmp_path):
    content = bytes(range(256)) * 2048  # 512 KiB, more than the three windows
    for name in ("a.svs", "b.svs"):
        (tmp_path / name).write_bytes(content)
    assert fingerprint(tmp_path / "a.svs") == fingerprint(tmp_path / "b.svs")
    for place in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / "b.svs").write_bytes(changed)
        assert fingerprint(tmp_path / "a.svs") != fingerprint(tmp_path / "b.svs")
    (tmp_path / "b.svs").write_bytes(content + b"\0")
    assert fingerprint(tmp_path / "a.svs") != fingerprint(tmp_path / "b.svs")


def test_the_fingerprint_of_a_short_file_is_the_documented_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert fingerprint(tmp_path / "a") == (
        "f60329dd14b6fe2e13c2c164165adad71b77c57693ada9fc2cca2bf3021f7158"
    )
