"""PersAM, balanced and plain, as released: the whole model, and the encoder on other tables."""

import pytest
import torch
from torch.nn import functional

from wsi_tools.mil import persam
from wsi_tools.mil.grouped_attention import Groups
from wsi_tools.mil.original import load_original, translate
from wsi_tools.mil.persam import PersAM, evidence_loss, log_doubt

RELEASED_FACTOR = 0.05
RELEASED_SMOOTHING = 0.05
VARIANTS = pytest.mark.parametrize("variant", ["balanced", "plain"])


def _agree_reading(case, variant, read):
    case.agree(f"{variant}.logits", read.logits)
    case.agree(f"{variant}.explanatory_attention", read.explanatory)
    case.agree(f"{variant}.patch_attention_max", read.explanatory.amax(dim=0))
    case.agree(f"{variant}.classwise_attention", read.classwise)
    case.agree(f"{variant}.exploratory_attention", read.exploratory)
    case.agree(f"{variant}.class_table_attention", read.class_table)


def _dense(attention, tokens, groups):
    """Scores and weights ``(heads, T, T)`` by the released formula, guard and all."""
    queries, keys, _ = attention.heads_of(tokens)
    scores = queries @ keys.transpose(1, 2) * attention.scale
    hidden = torch.zeros(scores.shape[1:], dtype=torch.bool)
    hidden[-groups.classes :, -groups.classes :] = ~torch.eye(groups.classes, dtype=torch.bool)
    scores = scores.masked_fill(hidden, -torch.inf)
    if not attention.balanced:
        return scores, scores.softmax(dim=-1)
    parts = scores.split([groups.tiles, groups.tables, groups.classes], dim=-1)
    levels = [parts[0].mean(-1), parts[1].mean(-1), parts[2].amax(-1)]
    shares = torch.stack(levels, dim=-1).exp()
    shares = (shares / shares.sum(-1, keepdim=True)).unbind(-1)
    weights = [
        part.exp() / (part.exp().sum(-1, keepdim=True) + 1e-6) * share[..., None]
        for part, share in zip(parts, shares, strict=True)
    ]
    return scores, torch.cat(weights, dim=-1)


@VARIANTS
def test_persam(golden, dtype, variant):
    case = golden("persam")
    case.open = {key for key in case.open if f"/{variant}." in key}
    config = case.config
    model = PersAM(
        config["inp"],
        config["C"],
        tables=(config["d1"], config["d2"]),
        dim=config["feat"],
        ffn_dim=config["mlp"],
        balanced=variant == "balanced",
        class_counts=tuple(config["counts"]),
    )
    model.to(dtype).eval()
    load_original(model, case.state(), persam.ORIGINAL_KEYS)
    seen = []
    for layer in model.layers:
        layer.attention.register_forward_hook(
            lambda attention, inputs, _: seen.append(_dense(attention, *inputs))
        )
    features, *tables = (case.given(name) for name in ("features", "table1", "table2"))
    label = case.given("label")[0]
    read = model.read(features, model.read_record([table[0] for table in tables]))
    weights = model.class_weights[int(label)]
    ce = functional.cross_entropy(read.logits, label)
    bce = evidence_loss(read.explanatory, label, weights, RELEASED_FACTOR, RELEASED_SMOOTHING)
    (ce + bce).backward()
    _agree_reading(case, variant, read)
    case.agree(f"{variant}.prob", read.logits.softmax(-1))
    case.agree(f"{variant}.pred", read.logits.argmax())
    case.agree(f"{variant}.loss_ce", ce)
    case.agree(f"{variant}.loss_bce", bce)
    case.agree(f"{variant}.loss_total", ce + bce)
    case.agree(f"{variant}.mil_prob", -torch.expm1(log_doubt(read.explanatory, RELEASED_FACTOR)))
    case.agree(f"{variant}.self_attention_1", seen[0][1])
    case.agree(f"{variant}.self_attention_2_headmean", seen[1][1].mean(dim=0))
    if variant == "balanced":
        case.agree(f"{variant}.self_attention_raw_1", seen[0][0])
    for name, tensor in zip(("features", "table1", "table2"), (features, *tables), strict=True):
        case.agree_input_gradient(f"{variant}.in.{name}", tensor)
    case.agree_parameter_gradients(model, persam.ORIGINAL_KEYS, f"{variant}.")


@VARIANTS
def test_persam_encoder(golden, dtype, variant):
    case = golden("persam_encoder")
    case.open = {key for key in case.open if f"/{variant}." in key}
    config = case.config
    model = PersAM(
        config["inp"],
        config["C"],
        tables=(1,) * config["M"],  # the file gives the tables as token features
        dim=config["feat"],
        ffn_dim=config["mlp"],
        balanced=variant == "balanced",
    )
    model.to(dtype).eval()
    tables = {f"tables.{key}": value for key, value in model.tables.state_dict().items()}
    released = translate(case.state(), persam.ENCODER_ORIGINAL_KEYS)
    load_original(model, released | tables, {r".*": r"\g<0>"})
    features, records = case.given("features"), case.given("table_features")
    read = model.read(features, records)
    (read.logits.square().sum() + read.explanatory.sum()).backward()
    _agree_reading(case, variant, read)
    case.agree_input_gradient(f"{variant}.in.features", features)
    case.agree_input_gradient(f"{variant}.in.table_features", records)


def test_persam_class_weights(golden, dtype):
    case = golden("persam")
    case.open.clear()
    counts, label = case.given("train_counts"), int(case.given("label")[0])
    weights = persam.class_weights(tuple(counts.tolist()), "true-class")[label]
    torch.testing.assert_close(
        weights.to(dtype), case.given("bce_weight").detach(), rtol=0, atol=1e-6
    )


@VARIANTS
def test_the_fast_path_mixes_as_the_dense_weights_do(dtype, variant):
    torch.manual_seed(3)
    model = PersAM(6, 3, tables=(2, 2), dim=16, ffn_dim=8, balanced=variant == "balanced")
    attention = model.layers[0].attention.to(dtype).eval()
    groups, tokens = Groups(9, 2, 3), torch.randn(14, 16, dtype=dtype)
    _, weights = _dense(attention, tokens, groups)
    values = attention.heads_of(tokens)[2]
    slow = attention.merge((weights @ values).transpose(0, 1).flatten(1))
    torch.testing.assert_close(attention(tokens, groups), slow)
