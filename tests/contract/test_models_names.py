"""Models by name: cards, parameters, compositions, tasks, counts, and plug-ins."""

import subprocess
import sys
import textwrap

import pytest
import torch

from wsi_tools.errors import InputError
from wsi_tools.mil import CARDS, MODELS, Bag, card, create_model, parameters
from wsi_tools.mil.cards import TASKS

NAMES = list(MODELS)
SCORERS = [name for name, found in CARDS.items() if found.stabilizes]
TABLES = (3, 2)


def bag_for(name, tiles=12, width=16):
    torch.manual_seed(2)
    shape = (tiles, 4, width) if "markers" in CARDS[name].needs else (tiles, width)
    clinical = tuple(torch.randn(columns) for columns in TABLES)
    return Bag.of_slide(
        torch.randn(shape), clinical=clinical if "clinical" in CARDS[name].needs else ()
    )


def build(name, n_out=3, **more):
    tables = TABLES if "clinical" in CARDS[name].needs else ()
    return create_model(name, 16, n_out, tables=tables, **more)


def test_every_model_has_a_card_of_its_name():
    assert list(CARDS) == NAMES
    assert all(card(name).name == name for name in NAMES)
    assert all(MODELS[name].card is CARDS[name] for name in NAMES)


def test_naming_the_models_imports_no_torch():
    code = (
        "import sys; from wsi_tools.mil import MODELS; list(MODELS); 'torch' in sys.modules and 1/0"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_table_of_models_and_tasks():
    everywhere = {"mean", "max", "abmil", "gated-abmil", "class-attention", "transmil"}
    everywhere |= {"roformer", "fluoroformer", "asmil"}
    assert {name for name in NAMES if CARDS[name].tasks == TASKS} == everywhere
    assert {name for name in NAMES if CARDS[name].tasks == ("classification", "multilabel")} == {
        "dsmil",
        "acmil",
    }
    assert {name for name in NAMES if CARDS[name].tasks == ("classification",)} == {
        "clam-sb",
        "clam-mb",
        "dtfd",
        "persam",
    }


@pytest.mark.parametrize(
    ("name", "in_dim", "n_out", "more", "count"),
    [
        ("fluoroformer", 1024, 4, {}, 1_254_661),
        ("fluoroformer", 2048, 4, {}, 2_310_405),
        ("fluoroformer", 1024, 4, {"stain": "hne"}, 529_157),
        ("fluoroformer", 2048, 4, {"stain": "hne"}, 1_057_541),
        ("persam", 2048, 3, {"tables": (18, 10)}, 5_136_387 + 136_448 + 134_400),
        ("roformer", 1024, 2, {}, 4_335_618),
        ("roformer", 1024, 2, {"head": "class-sb"}, 4_335_362),
        ("roformer", 1024, 2, {"head": "dsmil"}, 3_762_436),
        ("clam-sb", 1024, 2, {}, 790_791),
        ("clam-mb", 1024, 2, {}, 791_048),
        ("clam-sb", 1024, 2, {"attention_dim": 384}, 922_247),
        ("dsmil", 512, 2, {}, 85_252),
        ("transmil", 1024, 2, {}, 2_672_146),
    ],
)
def test_parameter_counts_are_the_published_ones(name, in_dim, n_out, more, count):
    assert _count(create_model(name, in_dim, n_out, **more)) == count


@pytest.mark.parametrize(
    ("in_dim", "n_out", "tokens", "count"),
    [
        (384, 3, 8, 650_779),
        (384, 3, 10, 784_417),
        (384, 2, 16, 1_183_138),
        (1024, 2, 16, 18_429_474),
    ],
)
def test_asmil_has_the_published_count_less_an_unused_norm(in_dim, n_out, tokens, count):
    dim = {384: 128, 1024: 512}[in_dim]
    online = create_model("asmil", in_dim, n_out, tokens=tokens, dim=dim).model
    assert _count(online) == count - 2 * dim  # the release holds a LayerNorm `bn` it never applies


@pytest.mark.parametrize(("name", "count"), [("abmil", 490_828), ("gated-abmil", 554_956)])
def test_abmil_has_the_published_count_less_its_convolutions(name, count):
    front_end = (20 * 25 + 20) + (50 * 20 * 25 + 50)  # two 5 x 5 convolutions on MNIST digits
    assert _count(create_model(name, 50 * 4 * 4, 1)) == count - front_end


def _count(model):
    return sum(weight.numel() for weight in model.parameters())


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'abmil'"):
        create_model("abmli", 16, 2)


def test_an_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'k_samples'.*known: hidden_dim.*k_sample, bag_weight"):
        create_model("clam-sb", 16, 2, k_samples=8)


def test_a_parameter_of_a_part_that_was_not_chosen_is_refused():
    with pytest.raises(InputError, match=r"'encoder\.blocks'"):
        create_model("abmil", 16, 2, **{"encoder.blocks": 2})


def test_an_unknown_value_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError, match="rotary='pixels' is not known; choose from pixel, lang, none"
    ):
        create_model("roformer", 16, 2, rotary="pixels")


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="256 does not divide into 7"):
        create_model("fluoroformer", 16, 2, marker_heads=7)


def test_persam_without_a_record_is_refused():
    with pytest.raises(InputError, match="needs a clinical record"):
        create_model("persam", 16, 2)


def test_a_record_that_nobody_reads_is_refused():
    with pytest.raises(InputError, match="reads no clinical record"):
        create_model("abmil", 16, 2, tables=(3,))


@pytest.mark.parametrize("name", ["abmil", "transmil", "mean", "persam"])
def test_markers_that_nothing_fuses_are_refused(name):
    markers = Bag.of_slide(torch.randn(5, 4, 16), clinical=bag_for(name).clinical)
    with pytest.raises(InputError, match="fuse them with --channel-fusion"):
        build(name)(markers)


def test_a_fusion_without_markers_is_refused():
    with pytest.raises(InputError, match="no marker axis"):
        create_model("abmil", 16, 2, channel_fusion="mean")(Bag.of_slide(torch.randn(5, 16)))


def test_concatenation_refuses_another_panel():
    model = create_model("abmil", 16, 2, channel_fusion="concat", **{"channel_fusion.markers": 4})
    assert model(Bag.of_slide(torch.randn(5, 4, 16))).logits.isfinite().all()
    with pytest.raises(InputError, match="built for 4 markers and met 3"):
        model(Bag.of_slide(torch.randn(5, 3, 16)))


def test_fluoroformer_takes_no_part_before_it():
    with pytest.raises(InputError, match="fuses the markers itself"):
        create_model("fluoroformer", 16, 2, encoder="roformer")


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SCORERS)))
def test_every_other_model_refuses_the_stabiliser(name):
    with pytest.raises(InputError, match="pools by no softmax of scores over tiles"):
        build(name, stabilize="asmil")


def test_the_parameters_of_a_composition_are_listed_with_their_prefix():
    found = parameters("dsmil", encoder="roformer", channel_fusion="concat", stabilize="asmil")
    assert found["query_dim"] == 128
    assert found["encoder.blocks"] == 1
    assert found["channel_fusion.markers"] is None
    assert found["stabilize.beta"] == 0.1
    assert not {"in_dim", "n_out", "encoder.in_dim", "stabilize.build"} & found.keys()


PLUGIN = '''
"""A model from another package."""

from wsi_tools.mil import Bag, Card, MILModel, MILOutput
import torch


class Median(MILModel):
    card = Card("median", "The median tile.", "nobody", "MIT", "1/N", stabilizes=False)

    def __init__(self, in_dim, n_out, *, slope=1.0):
        super().__init__()
        self.slope, self.read = slope, torch.nn.Linear(in_dim, n_out)

    def forward(self, bag: Bag, target=None):
        scores = bag.tiles.new_zeros(1, len(bag))
        logits = self.slope * self.read(bag.tiles.median(dim=0).values)
        return MILOutput(logits, scores, scores.softmax(-1))
'''
PLUGIN_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "wsitools-median"
version = "1.0"
[project.entry-points."wsi_tools.models"]
median = "median_mil:Median"
[tool.hatch.build.targets.wheel]
include = ["median_mil.py"]
"""
PLUGIN_USE = """
    import sys
    from wsi_tools.mil import MODELS
    assert "median" in MODELS and "torch" not in sys.modules
    import torch
    from wsi_tools.mil import Bag, card, create_model, parameters
    assert card("median").summary == "The median tile."
    assert parameters("median", encoder="roformer")["slope"] == 1.0
    model = create_model("median", 4, 2, encoder="roformer", slope=2.0)
    assert model(Bag.of_slide(torch.randn(3, 4))).logits.shape == (2,)
    try:
        create_model("median", 4, 2, slop=2.0)
    except ValueError as error:
        assert "known: slope" in str(error)
    else:
        raise AssertionError
"""


@pytest.mark.slow
def test_an_installed_package_adds_a_model(tmp_path):
    source, target = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "median_mil.py").write_text(PLUGIN)
    (source / "pyproject.toml").write_text(PLUGIN_PROJECT)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", target, source], check=True)
    code = f"import sys; sys.path[:0] = [{str(target)!r}]\n{textwrap.dedent(PLUGIN_USE)}"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
