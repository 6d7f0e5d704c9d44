"""Batches computed side by side."""

import itertools
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from wsi_tools.embedding import devices
from wsi_tools.embedding.backbones import load_backbone
from wsi_tools.embedding.devices import lanes_of
from wsi_tools.embedding.lanes import Lanes
from wsi_tools.embedding.pace import Pace, fitting
from wsi_tools.execution import computing_cores


def test_what_was_made_comes_in_the_order_of_the_items_whoever_is_ready_first():
    def slow_if_even(number):
        time.sleep(0.02 if number % 2 == 0 else 0)
        return number * number

    with Lanes(4) as lanes:
        made = list(lanes.each(slow_if_even, range(20)))
    assert made == [number * number for number in range(20)]


def test_as_many_work_at_a_time_as_there_are_lanes():
    meeting = threading.Barrier(3, timeout=10)  # which nobody passes alone
    with Lanes(3) as lanes:
        assert len(list(lanes.each(lambda _: meeting.wait(), range(9)))) == 9


def test_no_more_than_two_items_for_each_lane_are_under_way():
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    with Lanes(2) as lanes:
        made = lanes.each(lambda number: number, items())
        assert next(made) == 0
        assert len(taken) <= 4


def test_an_error_reaches_who_asks_and_ends_what_has_not_begun():
    begun = []

    def work(number):
        begun.append(number)
        if number == 2:
            raise ValueError("third")
        return number

    with pytest.raises(ValueError, match="third"), Lanes(1) as lanes:
        list(lanes.each(work, range(100)))
    time.sleep(0.05)  # for whatever was under way
    assert len(begun) <= 5


def test_every_lane_begins_once_and_before_its_first_item():
    settled, numbers, begun = threading.local(), itertools.count(), []

    def begin():
        settled.number = next(numbers)
        begun.append(threading.get_ident())

    with Lanes(3, begin) as lanes:
        seen = list(lanes.each(lambda _: (time.sleep(0.01), settled.number)[1], range(12)))
    assert set(seen) == set(range(len(begun)))
    assert len(set(begun)) == len(begun) <= 3


@pytest.fixture
def threads():
    """How many torch takes, also for threads to come, which forget what lanes have settled."""
    number = torch.get_num_threads()
    yield number
    torch.set_num_threads(number)


def test_a_lane_of_a_cpu_computes_on_its_share_of_the_cores(threads):
    pace = Pace.of([load_backbone("timm:test_resnet", weights="random:0")], 160)
    for count in (1, 2, computing_cores()):
        with Lanes(count, partial(pace.begin, count)) as lanes:
            (share,) = set(lanes.each(lambda _: torch.get_num_threads(), range(2 * count)))
        assert share == max(1, computing_cores() // count)
    assert torch.get_num_threads() == threads  # of who started the lanes


@pytest.mark.parametrize(
    ("free_cores", "lanes"), [(1, 1), (2, 2), (16, 16), (17, 8), (24, 12), (40, 13), (64, 16)]
)
def test_a_cpu_has_a_lane_for_each_core_or_for_as_many_cores_each(monkeypatch, free_cores, lanes):
    monkeypatch.setattr(devices, "computing_cores", lambda: free_cores)  # of another machine
    assert lanes_of(torch.device("cpu"), torch.float32) == lanes


def test_exact_products_on_a_gpu_have_it_to_themselves():
    gpu = torch.device("cuda")
    assert (lanes_of(gpu, torch.float32), lanes_of(gpu, torch.bfloat16)) == (1, 2)


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit"])
def test_networks_give_each_lane_the_features_of_its_own_tiles(name, threads):
    backbone = load_backbone(name, weights="random:0")
    batches = np.random.default_rng(1).integers(0, 256, (12, 4, 160, 160, 3), np.uint8)
    with Lanes(4, partial(Pace.of([backbone], 160).begin, 4)) as lanes:
        side_by_side = list(lanes.each(backbone.embed_pixels, batches))
    for batch, features in zip(batches, side_by_side, strict=True):
        np.testing.assert_allclose(features, backbone.embed_pixels(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("free", "each", "lanes", "batch"),
    [
        (100e9, 1e6, 2, 256),  # no more than fill a GPU
        (16e9, 100e6, 2, 64),  # 64 tiles of the 80 % that may be used, and no 128
        (16e9, 100e6, 1, 128),
        (1e6, 100e6, 2, 1),  # not even one: that is for the halving to say
        (16e9, float("inf"), 2, 1),
    ],
)
def test_a_batch_on_a_gpu_is_what_fits_beside_the_other_lanes(free, each, lanes, batch):
    assert fitting(free, each, lanes) == batch


def test_on_a_cpu_batches_are_small_unless_another_size_is_asked_for():
    backbone = load_backbone("timm:test_resnet", weights="random:0")
    assert Pace.of([backbone], 256).batch == 8
    assert Pace.of([backbone], 256, 32).batch == 32


def test_a_plug_ins_network_which_may_keep_what_it_sees_has_one_lane():
    own = load_backbone("timm:test_resnet", weights="random:0")
    foreign = replace(own, card=replace(own.card, builder="a_package:build"))
    assert Pace.of([own], 160).lanes == computing_cores()
    assert Pace.of([own, foreign], 160).lanes == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("tile_px", [160, 256])
def test_lanes_on_streams_of_their_own_give_the_features_of_one_stream(tile_px):
    backbone = load_backbone("timm:test_resnet", weights="random:0", device="cuda")
    pace = Pace.of([backbone], tile_px)
    assert (pace.batch, pace.lanes) == (256, 2)
    batches = np.random.default_rng(1).integers(0, 256, (12, 16, tile_px, tile_px, 3), np.uint8)
    with Lanes(2, partial(pace.begin, 2)) as lanes:
        side_by_side = list(lanes.each(backbone.embed_pixels, batches))
    for batch, features in zip(batches, side_by_side, strict=True):
        np.testing.assert_array_equal(features, backbone.embed_pixels(batch))
