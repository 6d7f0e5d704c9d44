"""What is stored, against the plain libraries: pixels, features, geometry, real weights."""

import time
from math import ceil

import numpy as np
import openslide
import pytest
import timm
import torch
from PIL import Image
from torchvision.models import squeezenet1_1

from wsi_tools.embedding.tiles import TileReader
from wsi_tools.slide import open_slide
from wsi_tools.store import FeatureStore

IMAGENET = (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225]))
CONTAINERS = {
    "cmu1-generic.tiff": {},
    "cmu1-ventana.tif": {},
    "cmu1-trestle.tif": {},
    "cmu1.ome.tiff": {},
    "cmu1.ndpi": {},
    "cmu1.mrxs": {},
    # These decode the grain of the glass otherwise, so that a hair of tissue reaches a cell more.
    "cmu1-philips.tiff": {(0, 2), (5, 2)},
    "cmu1.bif": {(0, 2), (5, 2)},
    "cmu1.scn": {(0, 2), (5, 2)},
    "cmu1-vms.vms": {(0, 2)},
}


def area_mean(pixels, start, step, count):
    """(count, …) means over [start + i step, start + (i + 1) step) of the first axis, in float64.

    The coverage of each source pixel by each output pixel, as `slide/sampling.py` words it.
    """
    lows = start + step * np.arange(count)
    places = np.arange(len(pixels))
    ends = np.minimum(lows[:, None] + step, places + 1)
    weights = np.clip(ends - np.maximum(lows[:, None], places), 0, None) / step
    return np.tensordot(weights, pixels.astype(np.float64), axes=1)


def sampled(slide, xy, side, px):
    """A tile as documented: the float box at xy of level 0, area-averaged; white outside."""
    x, y = (int(each) for each in xy)
    reach = ceil(side)
    region = Image.new("RGBA", (reach, reach), "white")
    width, height = (
        min(reach, whole - start) for whole, start in zip(slide.dimensions, (x, y), strict=True)
    )
    region.paste(slide.read_region((x, y), 0, (width, height)))
    pixels = np.asarray(region)[..., :3]
    rows = area_mean(pixels, 0.0, side / px, px)
    mean = area_mean(rows.swapaxes(0, 1), 0.0, side / px, px).swapaxes(0, 1)
    return np.floor(mean + 0.5).astype(np.uint8)


def normalised(images):
    """(B, 3, H, W) for a network: (x / 255 - mean) / std."""
    mean, std = (each[:, None, None] for each in IMAGENET)
    tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (tensor - mean) / std


def test_a_row_is_what_plain_openslide_and_plain_timm_give(wsitools, svs, tmp_path):
    torch.manual_seed(7)
    network = timm.create_model("resnet50", pretrained=False, num_classes=0).eval()
    weights = tmp_path / "resnet50.pth"
    torch.save(network.state_dict(), weights)
    command = ("run", svs, "-o", tmp_path / "proj", "--mpp", "1", "--weights", weights)
    (row,) = wsitools(*command, "--dtype", "float32", "--json").rows
    store = FeatureStore(row["store"])
    grid = store.grid(row["grid"])
    rows = store.features(row["grid"], "resnet50")[...]
    chosen = np.flatnonzero(grid.tissue >= 0.1)[[0, 5, 10, 16]]  # the last lies over the edge
    assert grid.xy[chosen[-1], 1] + 256 / 0.499 > 2967
    with openslide.OpenSlide(svs) as slide:
        tiles = [sampled(slide, grid.xy[tile], 256 / 0.499, 256) for tile in chosen]
    small = [np.asarray(Image.fromarray(each).resize((224, 224), 2)) for each in tiles]
    with torch.inference_mode():
        expected = network.forward_intermediates(
            normalised(small), indices=[3], intermediates_only=True
        )[0].mean((2, 3))
    difference = np.abs(rows[chosen] - expected.numpy())
    assert expected.abs().max() > 0.1
    assert np.all(difference <= 1e-3 * np.maximum(1, np.abs(expected.numpy())))


def test_containers_of_one_slide_give_the_same_tiles(wsitools, test_data, tmp_path):
    folder = test_data / "vendors"
    names = ["cmu1.svs", *CONTAINERS]
    command = ("tile", *(folder / name for name in names), "-o", tmp_path, "--json")
    done = wsitools(*command, "--workers", "2")
    paths = {FeatureStore(row["store"]).record.path: row["store"] for row in done.rows}
    stores = {name: FeatureStore(paths[str(folder / name)]) for name in names}
    grids = {name: store.grid("mpp0.5-px256-ov0") for name, store in stores.items()}
    cells = {name: cells_of(grid) for name, grid in grids.items()}
    assert len(cells["cmu1.svs"]) == 64
    for name, more in CONTAINERS.items():
        assert cells[name].keys() == cells["cmu1.svs"].keys() | more
        for cell in cells["cmu1.svs"]:
            assert cells[name][cell] == cells["cmu1.svs"][cell]
        faint = [tuple(index) in more for index in grids[name].index.tolist()]
        assert np.all(grids[name].tissue[faint] < 0.003)
    assert grids["cmu1.scn"].anchor == (200, 400)


def cells_of(grid):
    """(row, column) → (x, y) from the bounds' corner."""
    inner = (grid.xy - np.array(grid.anchor)).tolist()
    return {tuple(cell): tuple(xy) for cell, xy in zip(grid.index.tolist(), inner, strict=True)}


def test_tiles_are_as_long_in_microns_whatever_the_slides_resolution(
    wsitools, write_slide, tmp_path
):
    period_um = 16.0
    for mpp in (0.23, 0.25, 0.265, 0.2738, 0.499):
        edges = 2 * np.pi * np.arange(ceil(300 / mpp) + 1) * mpp / period_um
        wave = 128 + 100 * np.diff(np.sin(edges)) / np.diff(edges)  # the mean over each pixel
        line = np.floor(wave + 0.5).astype(np.uint8)
        pixels = np.broadcast_to(line[None, :, None], (len(line), len(line), 3))
        write_slide(tmp_path / f"at{mpp}.tif", pixels, mpp=mpp)
    command = ("run", tmp_path, "-o", tmp_path / "proj", "--method", "none", "--until", "tile")
    done = wsitools(*command, "--json")
    assert len(done.rows) == 5
    lengths = {row["slide_id"]: length_um(row, period_um) for row in done.rows}
    assert max(lengths.values()) / min(lengths.values()) - 1 < 1e-3
    assert all(abs(length / 128 - 1) < 1e-3 for length in lengths.values())


def length_um(row, period_um):
    """The length of a tile's row of pixels, by the waves of known length that lie in it."""
    store = FeatureStore(row["store"])
    with (
        open_slide(store.record.path) as slide,
        TileReader(slide, store.grid(row["grid"]), threads=1) as reader,
    ):
        (batch,) = reader.batches([np.array([0])])
    line = batch.pixels[0].mean((0, 2)) - 128
    phases = np.exp(-2j * np.pi * np.arange(len(line)) / 32)  # 32 px is what a wave should be
    half = len(line) // 2
    left, right = (line[:half] @ phases[:half], line[half:] @ phases[half:])
    turns = half / 32 + np.angle(right / left) / (2 * np.pi)
    return len(line) / half * turns * period_um


def test_real_weights_give_plain_torchvisions_features(wsitools, test_data, tmp_path):
    folder = test_data / "weights"
    weights = folder / "squeezenet1_1_deepscale_fp16.pth"
    photographs = {"chelsea": "Egyptian cat", "coffee": "espresso"}
    named = ("--backbone", "torchvision:squeezenet1_1", "--weights", weights)
    shape = ("--method", "none", "--mpp-override", "0.5", "--mpp", "0.5", "--tile-size", "256")
    done = wsitools("run", *(folder / f"{name}.png" for name in photographs), "-o", tmp_path,
                    *named, *shape, "--dtype", "float32", "--json")  # fmt: skip
    network = squeezenet1_1(weights=None).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    words = [
        line.split(" ", 1)[1]
        for line in (folder / "synset_words.txt").read_text().split("\n")
        if line
    ]
    for row in done.rows:
        pixels = np.asarray(Image.open(folder / f"{row['slide_id']}.png").convert("RGB"))
        tile = np.asarray(Image.fromarray(pixels[:256, :256]).resize((224, 224), 2))
        with torch.inference_mode():
            expected = network.features(normalised([tile])).mean((2, 3))[0].numpy()
            whole = Image.fromarray(pixels).resize((227, 227), 2)
            best = int(network(normalised([np.asarray(whole)])).argmax())
        stored = FeatureStore(row["store"]).features(row["grid"], "torchvision=squeezenet1_1")[0]
        assert np.abs(stored - expected).max() <= 1e-4 * np.abs(expected).max()
        assert photographs[row["slide_id"]] in words[best]


def test_several_backbones_decode_each_tile_once(wsitools, small_slide, tmp_path):
    log = tmp_path / "reads"
    backbones = ("--backbone", "one-layer", "--backbone", "timm:test_vit.r160_in1k")
    weights = ("--weights", "random:0", "--weights", "random:1")
    done = wsitools("run", small_slide, "-o", tmp_path / "proj", *backbones, *weights, "--json",
                    "--reader", "counting", env={"TRIAL_READS": str(log)})  # fmt: skip
    (row,) = done.rows
    tiles = FeatureStore(row["store"]).grid(row["grid"]).xy.tolist()
    reads = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    decoded = [read[:2] for read in reads if read[2:] == (256, 256, 0)]
    assert row["features"] == ["one-layer", "timm=test_vit.r160_in1k"]
    assert sorted(decoded) == sorted(map(tuple, tiles))


@pytest.mark.slow
def test_the_whole_collection_is_prepared_in_under_2_gb(start, test_data, tmp_path):
    import psutil

    folders = [test_data / name for name in ("slides", "vendors", "truth", "tiny", "broken")]
    options = ("--recursive", "--mpp", "1.0", "--backbone", "resnet50", "--weights", "random:0")
    peak = 0
    with start("run", *folders, "-o", tmp_path / "proj", *options) as process:
        family = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, sum(map(resident, [family, *family.children(recursive=True)])))
            time.sleep(0.1)
        out, _ = process.communicate()
    assert process.returncode == 3
    assert len(out.splitlines()) == 15
    assert peak < 2e9


def resident(process):
    """Bytes in memory; none of a process that has just ended."""
    import psutil

    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
