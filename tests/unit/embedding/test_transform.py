import numpy as np
import pytest
import torch
from PIL import Image

from wsi_tools.embedding.transform import TileTransform, resample, resize
from wsi_tools.errors import InputError

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def photograph(test_data, name, side):
    with Image.open(test_data / "weights" / name) as image:
        return image.convert("RGB").crop((20, 10, 20 + side, 10 + side))


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png"])
@pytest.mark.parametrize("side", [256, 280, 200])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("method", [resize, resample])
def test_resized_pixels_are_pillows_to_the_bit(test_data, name, side, interpolation, method):
    tile = photograph(test_data, name, side)
    reference = np.array(tile.resize((224, 224), FILTERS[interpolation]))
    ours = method(torch.from_numpy(np.array(tile))[None], 224, interpolation)[0]
    np.testing.assert_array_equal(ours.numpy(), reference)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_gpu_resizes_to_the_same_bits(interpolation):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 256, 256, 3), dtype=np.uint8)
    tiles = torch.from_numpy(pixels)
    assert torch.equal(
        resize(tiles.cuda(), 224, interpolation).cpu(), resize(tiles, 224, interpolation)
    )


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png"])
@pytest.mark.parametrize("side", [256, 280, 200])
def test_reduced_precision_may_resize_within_one_level(test_data, name, side):
    tiles = torch.from_numpy(np.array(photograph(test_data, name, side)))[None]
    to_levels = TileTransform(224, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
    differs = (to_levels(tiles) - to_levels(tiles, exact=False)).round().abs()
    assert (differs > 1).float().mean() < 1e-4  # where two roundings meet
    assert differs.max() <= (1 if side == 256 else 2)
    assert differs.mean() < 0.1


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png"])
@pytest.mark.parametrize("side", [256, 280, 200])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_single_precision_resizes_as_nearly(test_data, name, side, interpolation):
    tiles = torch.from_numpy(np.array(photograph(test_data, name, side)))[None]
    single = resample(tiles, 224, interpolation, torch.float32).int()
    differs = (single - resize(tiles, 224, interpolation).int()).abs()
    assert (differs > 1).float().mean() < 1e-4  # where two sums lie at half a level
    assert differs.max() <= (1 if side == 256 else 2)
    assert (differs > 0).float().mean() < 0.05


def test_pixels_that_were_resized_by_products_are_normalised_like_others():
    pixels = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), np.uint8)
    transform = TileTransform(24, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    by_products = resample(torch.from_numpy(pixels), 24, "bilinear")  # as a GPU resizes
    assert torch.equal(transform(by_products), transform(torch.from_numpy(pixels)))


def test_an_overshooting_filter_is_always_exact_on_a_cpu():
    noise = np.random.default_rng(5).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    transform = TileTransform(224, (0.5,) * 3, (0.5,) * 3, "bicubic")
    tiles = torch.from_numpy(noise)
    assert torch.equal(transform(tiles), transform(tiles, exact=False))


def test_a_tile_of_the_right_size_is_not_resampled():
    tiles = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).reshape(2, 4, 4, 3)
    values = TileTransform(4, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))(tiles)
    torch.testing.assert_close(values, tiles.permute(0, 3, 1, 2).float())


def test_pixels_are_normalised_channel_by_channel():
    tile = torch.tensor([[[[0, 127, 255]]]], dtype=torch.uint8)
    values = TileTransform(1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(tile)
    expected = [-0.485 / 0.229, (127 / 255 - 0.456) / 0.224, 0.594 / 0.225]
    torch.testing.assert_close(values.flatten(), torch.tensor(expected))


def test_the_result_is_channels_last_so_that_convolutions_need_no_copy():
    values = TileTransform(8, (0.5,) * 3, (0.5,) * 3)(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert values.is_contiguous(memory_format=torch.channels_last)


def test_the_tiles_themselves_are_left_alone():
    tiles = torch.full((1, 4, 4, 3), 9, dtype=torch.uint8)
    TileTransform(4, (0.5,) * 3, (0.5,) * 3)(tiles)
    assert (tiles == 9).all()


def test_an_interpolation_that_is_not_offered_is_refused():
    with pytest.raises(InputError, match="interpolation 'lanczos' is not offered"):
        TileTransform(4, (0.5,) * 3, (0.5,) * 3, "lanczos")


@pytest.mark.parametrize("side", [256, 280, 200])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_planes_are_resized_as_pillow_resizes_its_mode_f(side, interpolation):
    plane = np.random.default_rng(2).random((side, side), np.float32)
    reference = np.array(Image.fromarray(plane).resize((224, 224), FILTERS[interpolation]))
    planes = torch.from_numpy(plane)[None, :, :, None]
    values = TileTransform(224, (0.0,) * 3, (1.0,) * 3, interpolation)(planes)
    np.testing.assert_allclose(values[0, 0], reference, rtol=0, atol=1e-7)  # the last bit of 0…1


def test_one_plane_stands_for_red_green_and_blue():
    plane = torch.full((1, 2, 2, 1), 0.5)
    values = TileTransform(2, (0.5, 0.4, 0.3), (0.1, 0.2, 0.4))(plane)
    torch.testing.assert_close(values[0, :, 1, 1], torch.tensor([0.0, 0.5, 0.5]))


def test_planes_of_whole_grey_levels_become_what_8_bit_pixels_become():
    tiles = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    transform = TileTransform(8, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.testing.assert_close(transform(tiles.float() / 255), transform(tiles))


def test_planes_themselves_are_left_alone():
    planes = torch.full((1, 4, 4, 3), 0.9)
    TileTransform(4, (0.5,) * 3, (0.5,) * 3)(planes)
    assert (planes == 0.9).all()
