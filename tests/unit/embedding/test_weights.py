import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wsi_tools.embedding.weights import load_weights, random_seed, read_weights, sha256_of
from wsi_tools.errors import InputError, WeightsError


class WritesAFile:
    """Runs code when it is unpickled: the sentinel appears."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.mkdir, (str(self.sentinel),)


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def saved(folder, held, name="weights.pth"):
    torch.save(held, folder / name)
    return folder / name


def assert_same(tensors, expected):
    assert list(tensors) == list(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": each for name, each in state.items()},
        lambda state: {"state_dict": {f"module.model.{n}": each for n, each in state.items()}},
    ],
)
def test_wrappings_and_prefixes_are_taken_off(tmp_path, wrap):
    state = network().state_dict()
    assert_same(read_weights(saved(tmp_path, wrap(state))), state)


def test_safetensors_and_torch_files_hold_the_same(tmp_path):
    state = network().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    safe = read_weights(tmp_path / "w.safetensors")
    assert_same(dict(sorted(safe.items())), dict(sorted(state.items())))


def pickled(path, held):
    path.write_bytes(pickle.dumps(held))


def archived(path, held):
    torch.save({"state_dict": network().state_dict(), "extra": held}, path)


def archived_in_the_old_format(path, held):
    torch.save({"extra": held}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [pickled, archived, archived_in_the_old_format])
def test_code_in_a_pickle_is_never_executed(tmp_path, write):
    sentinel = tmp_path / "it-ran"
    write(tmp_path / "evil.pth", WritesAFile(sentinel))
    with pytest.raises(WeightsError, match="which is never loaded") as refused:
        read_weights(tmp_path / "evil.pth")
    assert not sentinel.exists()
    assert "\n" not in str(refused.value)


def test_the_pickle_would_have_run_elsewhere(tmp_path):
    pickle.loads(pickle.dumps(WritesAFile(tmp_path / "it-ran")))
    assert (tmp_path / "it-ran").exists()


def test_a_whole_pickled_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="save its state_dict as safetensors"):
        read_weights(saved(tmp_path, network()))


@pytest.mark.parametrize(
    "content", [b"", b"id,label\n1,2\n", b"\x80\x02", b"PK\x03\x04" + bytes(64), bytes(64)]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_holds_no_weights_is_refused_in_one_line(tmp_path, content, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as refused:
        read_weights(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    state = network().state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_weights(path)


def test_a_missing_file_is_named():
    with pytest.raises(WeightsError, match=r"^/nowhere/w\.pth: no such file$"):
        read_weights(Path("/nowhere/w.pth"))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (torch.zeros(3), "holds a Tensor, not tensors by name"),
        ({"epoch": 3}, "holds no tensors by name; give a state_dict"),
    ],
)
def test_a_file_of_something_else_is_told_what_it_holds(tmp_path, held, message):
    with pytest.raises(WeightsError, match=message):
        read_weights(saved(tmp_path, held))


def test_missing_surplus_and_reshaped_keys_are_told_apart():
    state = network().state_dict()
    state["0.weight"] = torch.zeros(4, 3, 5, 5)
    state["extra"] = state.pop("0.bias")
    with pytest.raises(WeightsError) as refused:
        load_weights(network(), state, what="w.pth: not weights of this")
    assert str(refused.value) == (
        "w.pth: not weights of this: 1 key missing (first: 0.bias), "
        "1 key of another shape (first: 0.weight (4, 3, 5, 5) for (4, 3, 3, 3)), "
        "1 key too many (first: extra)"
    )


def test_a_deeper_networks_weights_are_refused_though_no_key_is_missing():
    deeper = nn.Sequential(*network(), nn.Linear(2, 2)).state_dict()
    with pytest.raises(WeightsError, match=r"2 keys too many \(first: 3.weight\)"):
        load_weights(network(), deeper, what="w.pth")


def test_the_classifier_may_be_surplus_or_of_other_classes():
    state = network().state_dict() | {"2.weight": torch.zeros(9, 4), "2.bias": torch.zeros(9)}
    target = network()
    load_weights(target, state, what="w.pth", heads=["2"])
    assert torch.equal(target[0].weight, state["0.weight"])


def test_half_precision_is_widened():
    state = {name: each.half() for name, each in network().state_dict().items()}
    target = network()
    load_weights(target, state, what="w.pth")
    assert target[0].weight.dtype == torch.float32
    assert torch.equal(target[0].weight, state["0.weight"].float())


def test_files_from_before_batches_were_counted_load():
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    target = network()
    load_weights(target, state, what="w.pth")
    assert torch.equal(target[1].running_var, state["1.running_var"])


def test_the_hash_is_that_of_the_file(tmp_path):
    (tmp_path / "w").write_bytes(b"weights")
    assert sha256_of(tmp_path / "w") == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize(
    ("weights", "seed"),
    [("random:0", 0), ("random:17", 17), ("random", None), ("w.pth", None), (None, None)],
)
def test_random_weights_are_those_typed_with_a_seed(weights, seed):
    assert random_seed(weights) == seed


@pytest.mark.parametrize("weights", ["random:", "random:x", "random:-1", "random:1.5"])
def test_a_seed_is_a_whole_number(weights):
    with pytest.raises(InputError, match="give a whole number as the seed"):
        random_seed(weights)
