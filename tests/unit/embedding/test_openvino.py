"""The engine openvino: the features of torch, by another hand."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from wsi_tools.embedding.backbones import load_backbone
from wsi_tools.embedding.lanes import Lanes
from wsi_tools.embedding.openvino import cache_folder
from wsi_tools.errors import InputError, UnavailableError

pytest.importorskip("openvino", reason="pip install 'wsitools[openvino]'")

RESNET, VIT = "timm:test_resnet", "timm:test_vit"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "wsitools" / "openvino"


@pytest.fixture
def tiles():
    pixels = np.random.default_rng(7).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def loaded(name, precision="fp32", engine="openvino"):
    return load_backbone(name, weights="random:0", precision=precision, engine=engine)


@pytest.mark.parametrize("name", [RESNET, VIT, "torchvision:resnet18"])
def test_float32_features_are_those_of_torch(name, tiles):
    ours, reference = loaded(name).embed(tiles), loaded(name, engine="torch").embed(tiles)
    assert torch.cosine_similarity(ours, reference).min() >= 0.99999
    assert (ours - reference).abs().max() <= 1e-4 * reference.abs().max()


@pytest.mark.parametrize("name", [RESNET, VIT])
def test_bfloat16_is_reduced_and_near(name, tiles):
    reduced, exact = loaded(name, "bf16"), loaded(name)
    assert (reduced.numeric_class, exact.numeric_class) == ("reduced", "fp32-exact")
    similar = torch.cosine_similarity(reduced.embed(tiles), exact.embed(tiles))
    assert similar.min() > 0.999  # bf16 keeps 8 bits


@pytest.mark.parametrize("name", [RESNET, VIT])
def test_features_do_not_depend_on_the_batch(name, tiles):
    backbone = loaded(name)
    alone = torch.cat([backbone.embed(tiles[:1]), backbone.embed(tiles[1:])])
    torch.testing.assert_close(backbone.embed(tiles), alone, rtol=1e-5, atol=1e-6)


def test_threads_that_compute_at_once_give_the_features_of_one(tiles):
    backbone = loaded(RESNET)
    batches = [tiles.roll(turn, dims=0) for turn in range(12)]
    with Lanes(3) as lanes:
        at_once = list(lanes.each(backbone.embed, batches))
    for batch, features in zip(batches, at_once, strict=True):
        torch.testing.assert_close(features, backbone.embed(batch), rtol=1e-5, atol=1e-6)


def test_a_batch_of_no_tiles_gives_no_rows(tiles):
    assert loaded(RESNET).embed(tiles[:0]).shape == (0, loaded(RESNET).width)


def test_a_conversion_is_kept_and_taken_again(tiles, cache):
    first = loaded(RESNET).embed(tiles)
    (model,) = cache.glob("*.xml")
    written = model.stat().st_mtime_ns
    assert torch.equal(loaded(RESNET).embed(tiles), first)
    assert [(each, each.stat().st_mtime_ns) for each in cache.glob("*.xml")] == [(model, written)]
    assert sorted(each.suffix for each in cache.iterdir()) == [".bin", ".xml"]


def test_other_weights_are_kept_apart(tiles, cache):
    first = loaded(RESNET).embed(tiles)
    other = load_backbone(RESNET, weights="random:1", engine="openvino").embed(tiles)
    assert not torch.allclose(first, other)
    assert len(list(cache.glob("*.xml"))) == 2


def test_a_cache_that_cannot_be_written_costs_no_features(tiles, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    reference = loaded(RESNET, engine="torch").embed(tiles)
    torch.testing.assert_close(loaded(RESNET).embed(tiles), reference, rtol=1e-4, atol=1e-5)


def test_without_the_variable_the_cache_is_in_the_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "wsitools" / "openvino"


def test_a_gpu_is_refused_by_the_callers_mistake():
    with pytest.raises(InputError, match="is for CPUs, not for cuda:0; use --device cpu"):
        load_backbone(RESNET, weights="random:0", engine="openvino", device="cuda:0")


def test_half_precision_is_refused():
    with pytest.raises(InputError, match="computes in --precision fp32 or bf16"):
        loaded(RESNET, "fp16")


def test_an_unknown_engine_is_refused():
    with pytest.raises(InputError, match="choose from torch, openvino"):
        loaded(RESNET, engine="onnx")


def test_where_it_is_missing_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError, match=r"pip install 'wsitools\[openvino\]'"):
        loaded(RESNET)


def test_nothing_is_loaded_that_reports_use_over_the_internet():
    code = (
        "import json, sys; from wsi_tools.embedding.openvino import refuse_unless_installed;"
        "refuse_unless_installed();"
        "print(json.dumps([name for name, held in sys.modules.items() if held is not None]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded_modules = json.loads(done.stdout)
    assert "openvino" in loaded_modules
    assert not [name for name in loaded_modules if name.startswith("openvino_telemetry")]
