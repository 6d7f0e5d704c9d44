import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from wsi_tools.embedding import cards
from wsi_tools.embedding.backbones import load_backbone, resized_for
from wsi_tools.embedding.cards import find_card
from wsi_tools.embedding.devices import find_device, find_dtype
from wsi_tools.errors import InputError, UnavailableError, WeightsError
from wsi_tools.registry import Registry

TINY_VIT = "timm:test_vit"  # timm's own test architecture: 64 values, 160 px, bicubic


@pytest.fixture
def tiles():
    pixels = np.random.default_rng(7).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    """A plain timm ResNet50 with seeded weights, and the file that holds them."""
    torch.manual_seed(3)
    module = timm.create_model("resnet50").eval().requires_grad_(False)
    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    save_file(module.state_dict(), path)
    return module, path


def imagenet(tiles):
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return (tiles.permute(0, 3, 1, 2).float() / 255 - mean) / std


def test_resnet50_is_the_pooled_third_stage_of_plain_timm(resnet50, tiles):
    module, path = resnet50
    third = module.forward_intermediates(imagenet(tiles), indices=[3], intermediates_only=True)[0]
    features = load_backbone("resnet50", weights=path).embed(tiles)
    # (2, 1024, 14, 14) → (2, 1024); channels last and plain layout add up in another order
    torch.testing.assert_close(features, third.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_resnet50_full_is_what_plain_timm_pools_before_its_classifier(resnet50, tiles):
    module, path = resnet50
    pooled = module.forward_head(module.forward_features(imagenet(tiles)), pre_logits=True)
    features = load_backbone("resnet50-full", weights=path).embed(tiles)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features, pooled, rtol=1e-4, atol=1e-5)  # as above


def test_torchvisions_resnet50_file_loads_and_gives_the_same(tmp_path, tiles):
    torch.manual_seed(4)
    module = torchvision.models.resnet50(weights=None).eval().requires_grad_(False)
    torch.save(module.state_dict(), tmp_path / "resnet50-theirs.pth")
    module.fc = torch.nn.Identity()
    features = load_backbone("resnet50-full", weights=tmp_path / "resnet50-theirs.pth").embed(tiles)
    torch.testing.assert_close(features, module(imagenet(tiles)), rtol=1e-4, atol=1e-5)  # as above


class SmallDevice(torch.nn.Module):
    """A network on a device that holds no more than `most` tiles at a time."""

    def __init__(self, network, most):
        super().__init__()
        self.network, self.most, self.seen = network, most, []

    def forward(self, images):
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError
        return self.network(images)


def test_a_batch_is_halved_until_it_fits_the_device(resnet50, tiles):
    whole = load_backbone("resnet50", weights=resnet50[1])
    small = SmallDevice(whole.module, most=1)
    three = np.concatenate([tiles.numpy(), tiles.numpy()[::-1]])[:3]
    halved = replace(whole, module=small).embed_pixels(three)
    np.testing.assert_allclose(halved, whole.embed_pixels(three), rtol=1e-4, atol=1e-6)
    assert small.seen == [3, 1, 2, 1, 1]


def test_a_device_too_small_for_one_tile_is_named(resnet50, tiles):
    whole = load_backbone("resnet50", weights=resnet50[1])
    with pytest.raises(UnavailableError, match="cpu: has no memory left for one tile"):
        replace(whole, module=SmallDevice(whole.module, most=0)).embed_pixels(tiles.numpy())


def test_another_tile_size_is_resized_to_the_cards(resnet50):
    pixels = np.random.default_rng(8).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    backbone = load_backbone("resnet50", weights=resnet50[1])
    resized = np.array(Image.fromarray(pixels[0]).resize((224, 224), Image.Resampling.BILINEAR))
    ours, reference = backbone.embed_pixels(pixels), backbone.embed_pixels(resized[None])
    np.testing.assert_array_equal(ours, reference)


def test_the_store_learns_which_file_the_weights_came_from(resnet50):
    path = resnet50[1]
    record = load_backbone("resnet50", weights=path).weights
    assert record.source == "file:resnet50.safetensors"
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (record.revision, record.architecture) == (None, "resnet50")
    assert record.identity == record.sha256


def test_the_seed_decides_random_weights_and_is_recorded(tiles):
    first, again, other = (load_backbone(TINY_VIT, weights=f"random:{n}") for n in (0, 0, 1))
    assert torch.equal(first.embed(tiles), again.embed(tiles))
    assert not torch.allclose(first.embed(tiles), other.embed(tiles))
    assert (first.weights.source, first.weights.sha256) == ("random:0", None)
    assert first.weights.identity == "random:0 test_vit"


def test_random_weights_leave_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_backbone(TINY_VIT, weights="random:0")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["resnet50", "uni", TINY_VIT, "torchvision:squeezenet1_1"])
def test_weights_that_cannot_be_had_are_never_made_up(name, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match="--weights FILE"):
        load_backbone(name, offline=True)


def test_a_model_without_published_weights_says_so():
    with pytest.raises(UnavailableError, match="no weights are published; give --weights FILE"):
        load_backbone("timm:resnetv2_50d")


def test_another_architecture_is_told_apart_by_its_keys(test_data):
    path = test_data / "weights" / "resnet20-12fca82f.th"
    with pytest.raises(WeightsError) as refused:
        load_backbone("resnet50", weights=path)
    assert str(refused.value) == (
        f"{path}: not weights of resnet50: 170 keys missing (first: layer1.0.conv3.weight), "
        "95 keys of another shape (first: conv1.weight (16, 3, 3, 3) for (64, 3, 7, 7)), "
        "2 keys too many (first: linear.weight)"
    )


def saved_by_timm(folder, **config):
    """timm's local-dir layout: config.json and model.safetensors."""
    torch.manual_seed(6)
    module = timm.create_model("test_vit", num_classes=3).eval().requires_grad_(False)
    own = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear"}
    own |= {"input_size": [3, 160, 160], "fixed_input_size": True, "classifier": "head"}
    description = {"architecture": "test_vit", "num_classes": 3, "pretrained_cfg": own} | config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(description))
    save_file(module.state_dict(), folder / "model.safetensors")
    return module


def assert_gives_its_features(backbone, module, tiles):
    card = backbone.card
    assert (card.px, card.width, card.interpolation) == (160, 64, "bilinear")
    assert (card.mean, card.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    pooled = module.forward_head(
        module.forward_features(backbone.transform(tiles)), pre_logits=True
    )
    torch.testing.assert_close(backbone.embed(tiles), pooled)


def test_a_local_folder_is_read_by_its_own_configuration(tmp_path, tiles):
    module = saved_by_timm(tmp_path)
    assert_gives_its_features(load_backbone(f"local-dir:{tmp_path}"), module, tiles)


def test_a_hub_model_is_read_from_the_cache_by_its_own_configuration(tmp_path, monkeypatch, tiles):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    revision = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--org--name"
    module = saved_by_timm(home / "snapshots" / revision)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(revision)
    backbone = load_backbone("hf-hub:org/name", offline=True)
    assert_gives_its_features(backbone, module, tiles)
    assert backbone.weights.source == "hf-hub:org/name/model.safetensors"
    assert backbone.weights.revision == backbone.card.revision == revision


def test_a_snapshot_given_as_weights_describes_a_hub_model(tmp_path, tiles):
    module = saved_by_timm(tmp_path)
    backbone = load_backbone("hf-hub:org/name", weights=tmp_path, offline=True)
    assert_gives_its_features(backbone, module, tiles)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"pretrained_cfg": 3}', '{"architectures": ["ViTModel"]}']
)
def test_a_folder_that_does_not_describe_a_timm_model_is_refused(tmp_path, content):
    saved_by_timm(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match="does not describe a timm model"):
        load_backbone(f"local-dir:{tmp_path}")


def test_a_network_that_does_not_pool_is_refused(tmp_path, tiles):
    saved_by_timm(tmp_path, model_args={"global_pool": ""})
    with pytest.raises(InputError, match=r"gives \(101, 64\) per tile, not 64 values"):
        load_backbone(f"local-dir:{tmp_path}").embed(tiles)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:nosuch", "timm has no such model"),
        ("timm:resnet50.nosuch", "Invalid pretrained tag"),
        ("torchvision:nosuch", "torchvision has no such model for images"),
        ("torchvision:fasterrcnn_resnet50_fpn", "torchvision has no such model for images"),
    ],
)
def test_an_unknown_model_is_a_mistake_of_the_caller(name, message):
    with pytest.raises(InputError, match=message):
        load_backbone(name)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("squeezenet1_1", 512),
        ("resnet18", 512),
        ("mobilenet_v3_small", 1024),
        ("shufflenet_v2_x0_5", 1024),
        ("densenet121", 1024),
    ],
)
def test_torchvision_features_are_what_the_last_layer_sees(name, width, tiles):
    backbone = load_backbone(f"torchvision:{name}", weights="random:0")
    assert (backbone.width, backbone.embed(tiles).shape) == (width, (2, width))


def test_a_torchvision_model_that_rescales_its_input_is_refused():
    with pytest.raises(InputError, match="rescales its input"):
        load_backbone("torchvision:inception_v3", weights="random:0")


def squeezenet(test_data):
    path = test_data / "weights" / "squeezenet1_1_deepscale_fp16.pth"
    module = torchvision.models.squeezenet1_1(weights=None).eval().requires_grad_(False)
    module.load_state_dict(torch.load(path, weights_only=True))
    return module, path


def photograph(test_data, name, box):
    with Image.open(test_data / "weights" / name) as image:
        return torch.from_numpy(np.array(image.convert("RGB").crop(box)))[None]


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png"])
def test_pretrained_features_are_plain_torchvisions(test_data, name):
    module, path = squeezenet(test_data)
    tile = photograph(test_data, name, (0, 0, 256, 256))
    backbone = load_backbone("torchvision:squeezenet1_1", weights=path)
    resized = Image.fromarray(tile[0].numpy()).resize((224, 224), Image.Resampling.BILINEAR)
    maps = module.features(imagenet(torch.from_numpy(np.array(resized))[None]))  # (1, 512, 13, 13)
    pooled = functional.adaptive_avg_pool2d(maps, 1).flatten(1)  # (1, 512)
    torch.testing.assert_close(backbone.embed(tile), pooled, rtol=1e-4, atol=1e-4)  # as above


@pytest.mark.parametrize(
    ("name", "corner", "label", "probability"),
    [("chelsea.png", (113, 38), "Egyptian cat", 0.39), ("coffee.png", (188, 88), "espresso", 0.99)],
)
def test_pretrained_weights_recognise_the_photographs(test_data, name, corner, label, probability):
    module, path = squeezenet(test_data)
    x, y = corner  # the middle 224 × 224 pixels
    tile = photograph(test_data, name, (x, y, x + 224, y + 224))
    features = load_backbone("torchvision:squeezenet1_1", weights=path)
    # The backbone without its last layer, and the last layer: together the classifier.
    features.module.classifier[1] = module.classifier[1]
    with torch.inference_mode():
        likely = features.module(features.transform(tile)).softmax(1)[0]  # (1000,)
    names = (test_data / "weights" / "synset_words.txt").read_text().splitlines()
    assert label in names[int(likely.argmax())]
    assert float(likely.max()) == pytest.approx(probability, abs=0.005)


def test_uni_is_the_architecture_of_its_model_card():
    card = find_card("uni")
    with torch.device("meta"):
        module = timm.create_model(card.architecture, num_classes=0, **card.arguments)
    assert sum(each.numel() for each in module.parameters()) == 303_350_784
    assert module.blocks[0].ls1.gamma.shape == (1024,)  # layer scale, which plain ViT-L lacks
    assert len(module.blocks) == 24


@pytest.mark.slow
def test_uni_loads_from_a_hub_snapshot_and_gives_its_class_token(tmp_path, tiles):
    card = find_card("uni")
    torch.manual_seed(9)
    module = timm.create_model(card.architecture, num_classes=0, **card.arguments).eval().half()
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
    backbone = load_backbone("uni", weights=tmp_path, offline=True)
    (tmp_path / "pytorch_model.bin").unlink()  # 600 MB that pytest would keep
    module = module.float()
    with torch.inference_mode():
        token = module.forward_features(imagenet(tiles[:1]))[:, 0]  # (1, 1024)
    torch.testing.assert_close(backbone.embed(tiles[:1]), token, rtol=1e-4, atol=1e-4)


def test_the_network_cannot_be_trained_by_accident(tiles):
    backbone = load_backbone(TINY_VIT, weights="random:0")
    assert not backbone.module.training
    assert not any(each.requires_grad for each in backbone.module.parameters())
    assert backbone.embed(tiles).is_inference()


def test_float32_features_do_not_depend_on_the_batch(tiles):
    backbone = load_backbone("timm:resnet18", weights="random:0")
    alone = torch.cat([backbone.embed(tiles[:1]), backbone.embed(tiles[1:])])
    torch.testing.assert_close(backbone.embed(tiles), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("precision", "name"), [("bf16", "bf16"), ("auto", "fp32")])
def test_precision_is_what_was_asked_for_and_features_are_float32(precision, name, tiles):
    backbone = load_backbone(TINY_VIT, weights="random:0", precision=precision)
    exact = load_backbone(TINY_VIT, weights="random:0", precision="fp32").embed(tiles)
    features = backbone.embed(tiles)
    assert (backbone.precision, features.dtype) == (name, torch.float32)
    assert backbone.numeric_class == ("fp32-exact" if name == "fp32" else "reduced")
    assert torch.equal(features, exact) == (name == "fp32")
    assert torch.cosine_similarity(features, exact).min() > 0.999  # bf16 keeps 8 bits


def test_readers_may_resize_for_backbones_that_want_the_same():
    pixels = np.random.default_rng(9).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    one, other = (load_backbone("timm:resnet18", weights=f"random:{n}") for n in (0, 1))
    resize = resized_for([one, other])
    assert resize(pixels).shape == (2, 224, 224, 3)
    np.testing.assert_array_equal(one.embed_pixels(resize(pixels)), one.embed_pixels(pixels))


def test_readers_resize_for_none_where_backbones_differ_or_round_more():
    backbone = load_backbone("timm:resnet18", weights="random:0")
    reduced = load_backbone("timm:resnet18", weights="random:0", precision="bf16")
    assert resized_for([backbone, load_backbone(TINY_VIT, weights="random:0")]) is None
    assert resized_for([reduced]) is None


def test_auto_is_bfloat16_on_cuda():
    assert find_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="choose from auto, fp32, bf16, fp16"):
        find_dtype("int8", torch.device("cpu"))


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "mps"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(InputError, match="choose from cpu, cuda, cuda:0"):
        find_device(name)


def test_a_gpu_that_is_not_here_is_unavailable():
    with pytest.raises(UnavailableError, match=r"device cuda:99: PyTorch sees \d+ GPUs here"):
        find_device("cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_float32_on_a_gpu_equals_the_cpu(tiles):
    cpu = load_backbone("resnet50", weights="random:0").embed(tiles)
    gpu = load_backbone("resnet50", weights="random:0", device="cuda", precision="fp32")
    features = gpu.embed(tiles.cuda()).cpu()
    assert ((features - cpu).abs() <= 1e-3 * cpu.abs().clamp(min=1)).all()


PLUGIN = """
import torch
from wsi_tools.embedding.cards import Card

CARD = Card(
    name="brightness", source="local-dir:{folder}", width=3, px=8, mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0), interpolation="bilinear", builder="brightness_plugin:build",
)

class Brightness(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(3))

    def forward(self, images):
        return images.mean((2, 3)) * self.gain

def build():
    return Brightness()
"""


def test_an_installed_package_can_bring_a_card_and_its_network(tmp_path, monkeypatch):
    (tmp_path / "brightness_plugin.py").write_text(PLUGIN.format(folder=tmp_path))
    metadata = tmp_path / "brightness_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brightness-plugin\n")
    (metadata / "entry_points.txt").write_text(
        "[wsi_tools.backbones]\nbrightness = brightness_plugin:CARD\n"
    )
    save_file({"gain": torch.tensor([1.0, 2.0, 3.0])}, tmp_path / "model.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cards, "BACKBONES", Registry("wsi_tools.backbones", {}))
    features = load_backbone("brightness").embed(torch.full((1, 16, 16, 3), 51, dtype=torch.uint8))
    torch.testing.assert_close(features, torch.tensor([[0.2, 0.4, 0.6]]))
