"""What sets each attention model apart: markers, records, instances, groups, masks, slides."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wsi_tools.errors import InputError
from wsi_tools.mil import Bag, create_model
from wsi_tools.mil.fluoroformer import MarkerAttention
from wsi_tools.mil.grouped_attention import GroupedAttention, Groups
from wsi_tools.mil.nystrom import pseudo_inverse
from wsi_tools.mil.original import load_original, translate
from wsi_tools.mil.persam import class_weights


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(name, in_dim=8, n_out=2, **settings):
    torch.manual_seed(0)
    return create_model(name, in_dim, n_out, **settings).eval()


# Bag ------------------------------------------------------------------------------------------


def test_an_empty_bag_is_refused():
    with pytest.raises(InputError, match=r"a bag of shape \(0, 8\)"):
        Bag.of_slide(torch.empty(0, 8))


def test_a_lattice_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"lattice has shape \(3, 2\); 4 tiles need \(4, 2\)"):
        Bag(rand(4, 8), torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(4))


# Fluoroformer ---------------------------------------------------------------------------------


def test_the_order_of_the_markers_does_not_matter():
    model, features = made("fluoroformer").double(), rand(5, 4, 8).double()
    order = torch.tensor([2, 0, 3, 1])
    here, there = model(Bag.of_slide(features)), model(Bag.of_slide(features[:, order]))
    torch.testing.assert_close(here.logits, there.logits)
    shuffled = here.marker_attention[:, order][:, :, order]
    torch.testing.assert_close(there.marker_attention, shuffled)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_marker_attention_rows_sum_to_one_for_any_number_of_markers(heads):
    fusion = MarkerAttention(8, hidden_dim=16, marker_heads=heads)
    for markers in (1, 3, 7):
        fused, attention = fusion(rand(5, markers, 8))
        assert fused.shape == (5, 8)
        assert attention.shape == (5, markers, markers)
        torch.testing.assert_close(attention.sum(dim=2), torch.ones(5, markers))


def test_heads_share_one_state_dict_and_differ_in_what_they_see():
    one, four = (MarkerAttention(8, hidden_dim=16, marker_heads=heads) for heads in (1, 4))
    four.load_state_dict(one.state_dict())
    assert not torch.allclose(one(rand(5, 3, 8))[0], four(rand(5, 3, 8))[0])


# PersAM ---------------------------------------------------------------------------------------


def test_balanced_attention_is_finite_where_exponentials_overflow():
    torch.manual_seed(0)
    attention = GroupedAttention(16, 2, balanced=True).eval()
    mixed = attention(1e3 * rand(9, 16), Groups(5, 2, 2))
    assert mixed.isfinite().all()


def test_repeating_tiles_does_not_drown_the_record():
    """Balanced attention gives the tiles one share, however many there are; plain does not."""
    shares = {}
    for balanced in (True, False):
        torch.manual_seed(0)
        attention = GroupedAttention(16, 2, balanced=balanced).eval()
        tiles, rest = rand(5, 16), rand(4, 16, seed=1)
        once = attention(torch.cat((tiles, rest)), Groups(5, 2, 2))[-4:]
        often = attention(torch.cat((tiles.repeat(50, 1), rest)), Groups(250, 2, 2))[-4:]
        shares[balanced] = (once - often).abs().max().item()
    assert shares[True] < 1e-5 < 0.01 < shares[False]


def test_classes_do_not_see_each_other():
    torch.manual_seed(0)
    for balanced in (True, False):
        attention = GroupedAttention(16, 2, balanced=balanced).eval()
        tokens, groups = rand(9, 16), Groups(5, 2, 2)
        changed = tokens.clone()
        changed[-1] += 1.0
        torch.testing.assert_close(attention(tokens, groups)[-2], attention(changed, groups)[-2])


def test_another_record_moves_the_exploratory_attention():
    model = made("persam", tables=(3,), dim=32, ffn_dim=16)
    tiles = rand(6, 8)
    one, two = (model(Bag.of_slide(tiles, clinical=(rand(3, seed=s),))) for s in (1, 2))
    assert (one.views["exploratory"] - two.views["exploratory"]).abs().max() > 1e-3
    assert one.attention.max() < 1


def test_any_number_and_width_of_tables():
    for tables in ((1,), (18, 10), (2, 3, 4, 5)):
        model = made("persam", tables=tables, dim=32, ffn_dim=16)
        clinical = tuple(rand(columns) for columns in tables)
        assert model(Bag.of_slide(rand(3, 8), clinical=clinical)).logits.isfinite().all()


def test_a_missing_table_is_refused():
    model = made("persam", tables=(3, 2), dim=32)
    with pytest.raises(InputError, match="has 1 clinical tables and the model reads 2"):
        model(Bag.of_slide(rand(3, 8), clinical=(rand(3),)))


def test_class_weights_of_both_schemes():
    """Counts 10, 30, 60: positives 100 / 2n, negatives 100 / 2(100 - n)."""
    released, intended = class_weights((10, 30, 60)), class_weights((10, 30, 60), "per-class")
    torch.testing.assert_close(released[0].tolist(), [5.0, 100 / 180, 100 / 180])
    torch.testing.assert_close(intended[0].tolist(), [5.0, 100 / 140, 100 / 80])


def test_a_class_without_training_cases_is_refused():
    with pytest.raises(InputError, match="every class needs cases"):
        made("persam", tables=(3,), class_counts=(5, 0))


@pytest.mark.parametrize("option", [{"projector": "mlp1024"}, {"score_scale": "none"}])
def test_the_paper_s_own_forms_are_options(option):
    bag = Bag.of_slide(rand(4, 8), clinical=(rand(3),))
    released, stated = (made("persam", tables=(3,), dim=32, **more) for more in ({}, option))
    assert not torch.allclose(released(bag).logits, stated(bag).logits)


# CLAM, DTFD, ACMIL, TransMIL ------------------------------------------------------------------


def test_clam_takes_the_most_and_least_attended_tiles():
    model = made("clam-sb", k_sample=2, subtyping=True)
    tiles, attention = rand(5, 512), torch.tensor([[0.1, 0.4, 0.3, 0.15, 0.05]])
    found = model.instances(tiles, attention, torch.tensor(1))
    assert found.labels.tolist() == [0, 0, 1, 1, 0, 0]  # class 0 first; its most attended are none
    own = model.instance_classifiers[1](tiles[[1, 2, 4, 0]])
    torch.testing.assert_close(found.logits[2:], own)


def test_clam_takes_every_tile_of_a_bag_smaller_than_its_sample():
    found = made("clam-mb").instances(rand(3, 512), rand(2, 3), torch.tensor(0))
    assert found.labels.tolist() == [1, 1, 1, 0, 0, 0]


def test_the_second_tier_of_dtfd_trains_the_first_only_if_asked():
    for detach in (True, False):
        model = made("dtfd", detach=detach)
        model(Bag.of_slide(rand(9, 8))).logits.sum().backward()
        assert (model.project[0].weight.grad is None) == detach


@pytest.mark.parametrize("distillation", ["afs", "max", "maxmin"])
def test_dtfd_shows_the_tiles_its_answer_was_made_of(distillation):
    model = made("dtfd", distillation=distillation, groups=3, instances=3)
    attention = model(Bag.of_slide(rand(12, 8))).attention
    assert attention.sum().item() == pytest.approx(1)
    assert (attention > 0).sum() == {"afs": 12, "max": 3, "maxmin": 6}[distillation]


def test_acmil_hides_some_of_the_highest_scores_in_training():
    model = made("acmil", masked_tiles=5, mask_drop=0.6).train()
    scores = torch.arange(20.0).repeat(5, 1)
    weights = model.normalise(scores)
    assert ((weights == 0).sum(dim=1) == 3).all()
    assert (weights[:, :15] > 0).all()
    assert (model.eval().normalise(scores) > 0).all()


def test_the_pseudo_inverse_inverts():
    torch.manual_seed(0)
    matrices = (4 * torch.eye(6) + torch.rand(2, 6, 6)).double()
    matrices /= matrices.sum(dim=2, keepdim=True)
    product = pseudo_inverse(matrices, 12) @ matrices
    torch.testing.assert_close(product, torch.eye(6).double().expand(2, 6, 6), atol=1e-9, rtol=0)


def test_transmil_encodes_each_slide_alone():
    model, tiles = made("transmil", dim=32).double(), rand(11, 8).double()
    bag = Bag(tiles, torch.zeros(11, 2), torch.zeros(11, 2), torch.tensor([0] * 4 + [1] * 7))
    tokens = [model.encode(tiles[rows])[0] for rows in bag.slides()]
    alone = model.classifier(torch.stack(tokens).mean(dim=0))
    torch.testing.assert_close(model(bag).logits, alone)


# Memory ---------------------------------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    numel = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **kwargs or {})
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return made


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("roformer", {"dim": 32, "heads": 2, "dropout": 0.0}),
        ("persam", {"tables": (3,), "dim": 32, "ffn_dim": 16, "dropout": 0.0}),
        ("transmil", {"dim": 32, "heads": 2}),
    ],
)
def test_no_step_holds_a_tile_by_tile_matrix(name, settings):
    model, tiles = made(name, **settings), 2000
    clinical = (rand(3),) if name == "persam" else ()
    with LargestTensor() as watched:
        output = model(Bag.of_slide(rand(tiles, 8), clinical=clinical))
        output.logits.sum().backward()
    assert watched.numel < tiles * tiles / 4


# Released weights -----------------------------------------------------------------------------


def test_a_key_that_the_release_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"fc2\.weight: no such weight"):
        translate({"fc2.weight": torch.zeros(1)}, {r"fc1": "project"})


def test_weights_that_a_release_lacks_are_not_left_to_chance():
    model = torch.nn.ModuleDict({"project": torch.nn.Linear(2, 2)})
    with pytest.raises(RuntimeError, match=r"Missing key.*project\.bias"):
        load_original(model, {"fc1.weight": torch.zeros(2, 2)}, {r"fc1": "project"})
