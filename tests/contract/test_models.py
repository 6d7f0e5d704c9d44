"""The same facts over every registered model; what a card declares is what is tested."""

import pytest
import torch
from torch.nn import functional

from wsi_tools.mil import CARDS, ENCODERS, FUSIONS, MODELS, Bag, create_model, parameters
from wsi_tools.mil.bag import AttentionMIL
from wsi_tools.mil.stabilizer import Stabilized
from wsi_tools.mil.survival import negative_log_likelihood

IN_DIM, N_OUT, MARKERS, TABLES = 16, 3, 4, (3, 2)
SCORERS = [name for name, found in CARDS.items() if found.stabilizes]
EVERY = pytest.mark.parametrize("name", list(MODELS))
BF16_BOUND = 0.02  # of the logits' range and of the attention; the largest seen is 0.006

# Small sizes, so that the sweep takes seconds; heads still divide widths by four for the rotation.
SMALL = {
    "abmil": {"hidden_dim": 24, "attention_dim": 8},
    "gated-abmil": {"hidden_dim": 24, "attention_dim": 8},
    "class-attention": {"hidden_dim": 24, "attention_dim": 16, "heads": 2},
    "clam-sb": {"hidden_dim": 24, "attention_dim": 8, "k_sample": 2},
    "clam-mb": {"hidden_dim": 24, "attention_dim": 8, "k_sample": 2},
    "transmil": {"dim": 32, "heads": 4},
    "dtfd": {"dim": 24, "attention_dim": 8},
    "acmil": {"dim": 24, "attention_dim": 8, "tokens": 3},
    "roformer": {"dim": 32, "heads": 2, "attention_dim": 16, "attention_heads": 2},
    "fluoroformer": {"hidden_dim": 8},
    "persam": {"dim": 32, "heads": 4, "ffn_dim": 16},
    "asmil": {"dim": 32, "heads": 4, "tokens": 3},
}


def make(name, **more):
    """A small model with weights away from their starting values, in evaluation mode."""
    torch.manual_seed(7)
    tables = TABLES if "clinical" in CARDS[name].needs else ()
    model = create_model(name, IN_DIM, N_OUT, tables=tables, **SMALL.get(name, {}), **more)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


def bag(name, tiles=23, *, dtype=torch.float32, slides=1):
    """Random tiles on distinct cells of a lattice, with what the model needs besides."""
    torch.manual_seed(11)
    shape = (tiles, MARKERS, IN_DIM) if "markers" in CARDS[name].needs else (tiles, IN_DIM)
    cells = torch.randperm(400)[:tiles]
    lattice = torch.stack((cells % 20, cells // 20), dim=1)
    clinical = tuple(torch.randn(columns, dtype=dtype) for columns in TABLES)
    return Bag(
        torch.randn(shape, dtype=dtype),
        coords=lattice * 256,
        lattice=lattice,
        segment=torch.arange(tiles) % slides,
        clinical=clinical if "clinical" in CARDS[name].needs else (),
    )


def taken(found, rows):
    """The bag's tiles of the given rows."""
    parts = (found.features[rows], found.coords[rows], found.lattice[rows], found.segment[rows])
    return Bag(*parts, clinical=found.clinical)


@EVERY
def test_a_shuffled_bag_has_the_same_logits_and_shuffled_attention(name):
    card, model, tiles = CARDS[name], make(name).double(), bag(name, dtype=torch.float64)
    order = torch.randperm(len(tiles))
    before, after = model(tiles), model(taken(tiles, order))
    changed = card.reads_order or card.groups_at_random
    assert torch.allclose(before.logits, after.logits, rtol=0, atol=1e-9) != changed
    if not changed:
        torch.testing.assert_close(after.attention, before.attention[:, order])
        torch.testing.assert_close(after.scores, before.scores[..., order])


@EVERY
@pytest.mark.parametrize("tiles", [1, 2, 5])
@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
def test_a_bag_of_a_few_tiles_works(name, tiles, training):
    output = make(name).train(training)(bag(name, tiles), torch.tensor(1))
    assert output.logits.shape == (N_OUT,)
    assert output.attention.shape[1] == output.scores.shape[-1] == tiles
    assert torch.isfinite(output.total(output.logits.sum()))


@EVERY
def test_a_doubled_bag_has_the_same_logits_where_the_card_says_so(name):
    model, tiles = make(name).double(), bag(name, dtype=torch.float64)
    twice = taken(tiles, torch.arange(len(tiles)).repeat(2))
    same = torch.allclose(model(tiles).logits, model(twice).logits, rtol=0, atol=1e-9)
    assert same == CARDS[name].ignores_duplicates


@EVERY
def test_the_attention_is_as_the_card_says(name):
    card, output = CARDS[name], make(name)(bag(name))
    rows = {"bag": 1, "classes": N_OUT, "tokens": SMALL.get(name, {}).get("tokens")}[card.rows]
    assert output.attention.shape == (rows, 23)
    assert output.attention.min() >= 0
    sums = output.attention.sum(dim=1)
    assert torch.allclose(sums, torch.ones(rows), atol=1e-5) == card.sums_to_one
    assert output.attention.max() <= 1


@EVERY
def test_raw_scores_become_the_attention(name):
    """Over the tiles, where the model pools by a softmax; a mean over heads may follow."""
    model, tiles = make(name), bag(name)
    output = model(tiles)
    if not isinstance(model, AttentionMIL | Stabilized):
        assert output.scores.shape == output.attention.shape
        return
    weights = output.scores.softmax(dim=-1)
    if weights.ndim == 3:
        weights = weights.mean(dim=1 if CARDS[name].rows == "classes" else 0)
    torch.testing.assert_close(output.attention, weights)


@EVERY
def test_gradients_reach_every_trainable_parameter(name):
    """Over all targets; no exceptions: what does not train is frozen."""
    model = make(name)
    for target in range(N_OUT):
        output = model(bag(name), torch.tensor(target))
        output.total(functional.cross_entropy(output.logits, torch.tensor(target))).backward()
    unreached = [
        key
        for key, weight in model.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.any())
    ]
    assert unreached == []


@EVERY
def test_a_bag_leaves_no_trace_in_the_model(name):
    model = make(name)
    first, second = bag(name, 9), bag(name, 4)
    alone = model(first).logits
    model(second)
    torch.testing.assert_close(model(first).logits, alone, rtol=0, atol=0)


@EVERY
def test_bfloat16_autocast_agrees_with_float32(name):
    model, tiles = make(name), bag(name)
    exact = model(tiles)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(tiles)
    span = exact.logits.detach().abs().max().clamp(min=1.0)
    assert (rough.logits.float() - exact.logits).abs().max() <= BF16_BOUND * span
    if name != "max":  # one tile may overtake another
        torch.testing.assert_close(
            rough.attention.float(), exact.attention, rtol=0, atol=BF16_BOUND
        )


@EVERY
def test_evaluation_repeats_itself(name):
    model, tiles = make(name), bag(name)
    torch.testing.assert_close(model(tiles).logits, model(tiles).logits, rtol=0, atol=0)


@EVERY
def test_state_restores_the_answers(name):
    model, other, tiles = make(name), make(name), bag(name)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(tiles).logits, model(tiles).logits, rtol=0, atol=0)


@EVERY
def test_the_parameters_are_the_constructor(name):
    """Building with every default spelt out is building with none."""
    tables = TABLES if "clinical" in CARDS[name].needs else ()
    torch.manual_seed(0)
    silent = create_model(name, IN_DIM, N_OUT, tables=tables)
    torch.manual_seed(0)
    spelt = create_model(name, IN_DIM, N_OUT, tables=tables, **parameters(name))
    for one, two in zip(silent.parameters(), spelt.parameters(), strict=True):
        assert torch.equal(one, two)


def test_tiles_of_two_slides_do_not_see_each_other_in_an_encoder():
    """Encoding two slides in one bag is encoding each alone (DSMIL's head would mix them again)."""
    encoder = make("roformer").double().encoder
    both = bag("roformer", 20, dtype=torch.float64, slides=2)
    together = encoder(both)
    for rows in both.slides():
        torch.testing.assert_close(encoder(taken(both, rows)), together[rows])


def test_across_slides_lets_them_see_each_other():
    encoder = make("roformer", across_slides=True).double().encoder
    both = bag("roformer", 20, dtype=torch.float64, slides=2)
    first = next(both.slides())
    assert not torch.allclose(encoder(taken(both, first)), encoder(both)[first])


@pytest.mark.parametrize("rotary", ["pixel", "lang"])
@pytest.mark.parametrize("shift", [(1, 0), (0, -37), (100_000, 250_000)])
def test_rotary_positions_know_differences_alone(rotary, shift):
    model = make("roformer", rotary=rotary).double()
    tiles = bag("roformer", dtype=torch.float64)
    moved = Bag(tiles.features, tiles.coords, tiles.lattice + torch.tensor(shift), tiles.segment)
    torch.testing.assert_close(model(moved).logits, model(tiles).logits, rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [{"rotary": "pixel"}, {"rotary": "lang"}, {"position": "sine"}])
def test_positions_matter(options):
    model = make("roformer", **options).double()
    tiles = bag("roformer", dtype=torch.float64)
    turned = Bag(tiles.features, tiles.coords, tiles.lattice.flip(0), tiles.segment)
    assert not torch.allclose(model(turned).logits, model(tiles).logits, atol=1e-6)


def test_columns_and_rows_are_told_apart():
    model, tiles = make("roformer").double(), bag("roformer", dtype=torch.float64)
    transposed = Bag(tiles.features, tiles.coords, tiles.lattice.flip(1), tiles.segment)
    assert not torch.allclose(model(transposed).logits, model(tiles).logits, atol=1e-6)


def _task_loss(task, logits):
    target = {"classification": torch.tensor(1), "multilabel": torch.tensor([1.0, 0.0, 1.0])}
    if task == "survival":
        follow_up = torch.tensor([1]), torch.tensor([0])
        return None, negative_log_likelihood(logits[None], *follow_up).mean()
    if task == "regression":
        return None, functional.mse_loss(logits, torch.tensor([1.0, 2.0, 3.0]))
    loss = {
        "classification": functional.cross_entropy,
        "multilabel": functional.binary_cross_entropy_with_logits,
    }
    return target[task], loss[task](logits, target[task])


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name in list(MODELS) for task in CARDS[name].tasks]
)
def test_a_step_on_a_declared_task_lowers_its_loss(name, task):
    model, tiles = make(name).eval(), bag(name)
    optimiser = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=1e-4)
    target, _ = _task_loss(task, model(tiles).logits)
    losses = []
    for _ in range(2):
        output = model(tiles, target)
        total = output.total(_task_loss(task, output.logits)[1])
        losses.append(total.item())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", ["clam-sb", "clam-mb", "dsmil", "dtfd", "acmil"])
def test_without_a_class_target_parts_of_a_classifier_never_train(name):
    """Why survival and regression are not declared for these."""
    model = make(name)
    model(bag(name)).logits.sum().backward()
    assert any(weight.grad is None for weight in model.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", [name for name in list(MODELS) if name != "fluoroformer"])
@pytest.mark.parametrize("fusion", list(FUSIONS))
@pytest.mark.parametrize("encoder", [None, *ENCODERS])
def test_every_fusion_and_encoder_stands_before_every_aggregator(name, fusion, encoder):
    small = {"channel_fusion.markers": MARKERS} if fusion == "concat" else {}
    model = make(name, channel_fusion=fusion, encoder=encoder, **small)
    markers = Bag.of_slide(torch.randn(6, MARKERS, IN_DIM), clinical=bag(name).clinical)
    output = model(markers, torch.tensor(1))
    output.total(output.logits.sum()).backward()
    assert output.attention.shape[1] == 6
    attended = output.marker_attention is not None
    assert attended == (fusion == "fluoroformer")
    first = next(weight for weight in model.parameters() if weight.requires_grad)
    assert first.grad is not None


@pytest.mark.parametrize("name", SCORERS)
def test_every_declared_model_can_be_stabilised(name):
    model, tiles = make(name, stabilize="asmil"), bag(name)
    plain = make(name)
    plain.load_state_dict(model.model.state_dict())
    assert "stability" in model.train()(tiles).auxiliary
    torch.testing.assert_close(model.eval()(tiles).logits, plain(tiles).logits)
