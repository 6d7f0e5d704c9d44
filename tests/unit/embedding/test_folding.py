"""Networks on oneDNN's kernels: the same features as the plain network, faster or not at all."""

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from wsi_tools.embedding import folding
from wsi_tools.embedding.folding import quickened
from wsi_tools.embedding.onednn import Convolution, Product

PX = 96

NETWORKS = {
    "residual sums": lambda: torchvision.models.resnet18(),
    "the network of most features": lambda: timm.create_model("resnet50", num_classes=0),
    "SiLU inside the norms, gates, depthwise": lambda: timm.create_model(
        "efficientnet_b0", num_classes=0
    ),
    "groups": lambda: timm.create_model("resnext26ts", num_classes=0),
    "norms before convolutions": lambda: torchvision.models.densenet121(),
}


def settled(network):
    """The network with norms of uneven scales that know what passes through them."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            ends_a_branch = not norm.weight.any()  # timm begins them at zero
            nn.init.uniform_(norm.weight, *((0.1, 0.5) if ends_a_branch else (0.5, 1.2)))
            nn.init.normal_(norm.bias, std=0.2)
            norm.momentum = None  # the statistics of all that was seen
    with torch.inference_mode():
        network.train()(torch.randn(8, 3, PX, PX))
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def pictures(tiles):
    seed = torch.Generator().manual_seed(1)
    return torch.randn(tiles, 3, PX, PX, generator=seed).to(memory_format=torch.channels_last)


def count(network, kind):
    return sum(isinstance(layer, kind) for layer in network.modules())


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return settled(NETWORKS[request.param]())


@torch.inference_mode()
def test_features_are_those_of_the_plain_network(network):
    made = quickened(copy.deepcopy(network), PX, torch.float32)
    assert count(made, Convolution) == count(network, nn.Conv2d)
    assert count(made, nn.Conv2d) == 0
    found, expected = made(pictures(4)), network(pictures(4))
    assert torch.cosine_similarity(found, expected).min() >= 0.999999
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.inference_mode()
def test_features_do_not_depend_on_the_batch(network):
    made = quickened(copy.deepcopy(network), PX, torch.float32)
    together = made(pictures(8))
    for alone in (together[:1] - made(pictures(8)[:1]), together[2:5] - made(pictures(8)[2:5])):
        assert alone.abs().max() <= 1e-5 * together.abs().max()


@torch.inference_mode()
def test_in_bfloat16_they_are_as_near_as_under_autocast(network):
    made = quickened(copy.deepcopy(network), PX, torch.bfloat16)
    expected = network(pictures(4))
    with torch.autocast("cpu", torch.bfloat16):
        found, plain = made(pictures(4)).float(), network(pictures(4)).float()
    assert count(made, Convolution) == count(network, nn.Conv2d)
    error, usual = ((each - expected).norm() for each in (found, plain))
    assert error <= 1.25 * usual  # other roundings, not larger ones


@torch.inference_mode()
def test_resnet50_to_its_third_stage_keeps_its_direction_in_bfloat16():
    torch.manual_seed(0)
    plain = timm.create_model("resnet50", num_classes=0)
    plain.prune_intermediate_layers([3])
    plain.reset_classifier(0, "avg")  # pruning took the pooling off as well
    plain = settled(plain)
    made = quickened(copy.deepcopy(plain), PX, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(pictures(4)).float()
    assert torch.cosine_similarity(found, plain(pictures(4))).min() >= 0.9995


def test_norms_are_gone_where_a_convolution_comes_before_them():
    torch.manual_seed(0)
    made = quickened(settled(torchvision.models.resnet18()), PX, torch.float32)
    assert count(made, nn.BatchNorm2d) == 0
    assert count(made, nn.ReLU) == 0  # each ends a kernel: after a norm, or after a sum


@torch.inference_mode()
def test_a_transformer_keeps_its_way_and_multiplies_on_onednn():
    torch.manual_seed(0)
    plain = timm.create_model("test_vit", num_classes=0).eval().requires_grad_(False)
    images = torch.randn(2, 3, 160, 160)
    made = quickened(copy.deepcopy(plain), 160, torch.float32)
    assert type(made) is type(plain)
    assert count(made, Product) == count(plain, nn.Linear)
    expected = plain(images)
    assert (made(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


class Wayward(nn.Module):
    """A network whose way depends on what it sees."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images):
        maps = self.norm(self.conv(images))
        return maps.mean((2, 3)) if images.mean() > 0 else maps.amax((2, 3))


class Forgetful(nn.Module):
    """A network that traces to another answer: it draws numbers outside the trace."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return self.norm(self.conv(images)).mean((2, 3)) * self.calls


class Shared(nn.Module):
    """A network that takes one convolution twice, with a norm behind each."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images):
        return self.second(self.conv(self.first(self.conv(images)))).mean((2, 3))


@pytest.mark.parametrize("network", [Wayward, Forgetful])
def test_what_cannot_be_traced_or_then_answers_otherwise_is_left_alone(network):
    plain = network().eval().requires_grad_(False)
    assert quickened(plain, PX, torch.float32) is plain
    assert count(plain, nn.BatchNorm2d) == 1


@torch.inference_mode()
def test_a_convolution_that_is_shared_is_not_folded():
    torch.manual_seed(0)
    plain = settled(Shared())
    made = quickened(copy.deepcopy(plain), PX, torch.float32)
    torch.testing.assert_close(made(pictures(2)), plain(pictures(2)))
    assert count(made, nn.BatchNorm2d) == 2


class Gated(nn.Module):
    """A network that adds a vector to a map, which the fused sum cannot."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.gate = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        maps = self.norm(self.conv(images))
        return (maps + self.gate(images.mean((2, 3), keepdim=True))).mean((2, 3))


@torch.inference_mode()
def test_a_sum_of_other_shapes_is_not_fused():
    torch.manual_seed(0)
    plain = settled(Gated())
    made = quickened(copy.deepcopy(plain), PX, torch.float32)
    torch.testing.assert_close(made(pictures(2)), plain(pictures(2)))
    assert count(made, Convolution) == 2


def test_without_the_kernels_a_network_stays_as_it_is(monkeypatch):
    # no processor of ours lacks them
    monkeypatch.setattr(folding, "computes_in", lambda dtype: False)
    plain = torchvision.models.resnet18().eval()
    assert quickened(plain, PX, torch.float32) is plain


def test_half_precision_stays_with_autocast():
    plain = torchvision.models.resnet18().eval()
    assert quickened(plain, PX, torch.float16) is plain
