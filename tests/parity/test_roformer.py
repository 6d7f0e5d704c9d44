"""RoFormerMIL as released: four heads and positions, two bags, and the rotary units."""

import math

import pytest
import torch
from torch.nn import functional

from wsi_tools.mil import Bag, create_model, roformer
from wsi_tools.mil.original import load_original
from wsi_tools.mil.rotary import (
    lang_frequencies,
    pixel_frequencies,
    rotary_angles,
    rotate,
    sine_embedding,
)

POSITIONS = {
    "pixel": {"rotary": "pixel"},
    "lang": {"rotary": "lang"},
    "sine": {"rotary": "none", "position": "sine"},
}
HEADS = {"mb": "class-mb", "sb": "class-sb", "dsmil": "dsmil"}
CASES = [
    "roformer_abmil_mb_pixel",
    "roformer_abmil_mb_lang",
    "roformer_abmil_mb_sine",
    "roformer_abmil_sb_pixel",
    "roformer_dsmil_pixel",
]


def _built(case, dtype):
    *_, head, position = case.name.split("_")
    config = case.config
    model = create_model(
        "roformer",
        config["inp"],
        config["C"],
        head=HEADS[head],
        dim=config["hid"],
        heads=config["nh"],
        blocks=config["blocks"],
        attention_dim=config["ad"],
        attention_heads=config["anh"],
        **POSITIONS[position],
    )
    load_original(model, case.state(), roformer.ORIGINAL_KEYS)
    return model.to(dtype).eval()


def _bags(case):
    features = [case.given("features1"), case.given("features2")]
    lattices = [case.given("coords1"), case.given("coords2")]
    return features, [Bag.of_slide(f, xy) for f, xy in zip(features, lattices, strict=True)]


def _remember(module, name, seen):
    """Keep the module's first answer."""

    def keep(module, inputs, answer):
        seen.setdefault(name, answer)

    module.register_forward_hook(keep)


@pytest.mark.parametrize("case_name", CASES)
def test_roformer(golden, dtype, case_name):
    case = golden(case_name)
    model = _built(case, dtype)
    features, bags = _bags(case)
    seen = {}
    _remember(model.encoder.project, "projected", seen)
    _remember(model.encoder, "encoded", seen)
    outputs = [model(bag, case.given("labels")[0]) for bag in bags]
    case.agree("logits1", outputs[0].logits)
    case.agree("logits2", outputs[1].logits)
    case.agree("projected1", seen["projected"])
    case.agree("encoded1", seen["encoded"])
    if "sine" in case_name:
        waves = sine_embedding(bags[0].lattice, case.config["hid"]).to(dtype)
        case.agree("with_sine1", seen["projected"] + waves)
    if "dsmil" in case_name:
        loss = _agree_dsmil(case, model, bags[0])
    else:
        loss = _agree_class_attention(case, model, bags[0], outputs)
    loss.backward()
    for index, tensor in enumerate(features):
        if f"grad/in.features{index + 1}" in case.arrays:
            case.agree_input_gradient(f"in.features{index + 1}", tensor)
    case.agree_parameter_gradients(model, roformer.ORIGINAL_KEYS)


def _agree_class_attention(case, model, bag, outputs):
    scored = model.score(bag)
    logits = torch.stack([output.logits for output in outputs])
    loss = functional.cross_entropy(logits, case.given("labels"))
    case.agree("attention1", scored.scores.softmax(-1).transpose(1, 2))  # (tokens, N, heads)
    case.agree("updated_features1", scored.tiles)
    case.agree("logits_batch", logits)
    case.agree("loss", loss)
    return loss


def _agree_dsmil(case, model, bag):
    label = case.given("labels")[0]
    output, scored = model(bag, label), model.score(bag)
    tile_logits = scored.context["tile_logits"]
    bag_loss = functional.cross_entropy(output.logits, label)
    case.agree("attention1", output.attention)
    case.agree("updated_features1", scored.tiles)
    case.agree("patch_logits1", tile_logits)
    case.agree("loss_bag", bag_loss)
    case.agree("loss_patch", output.auxiliary["max"] / 0.5)
    case.agree("loss", output.total(bag_loss))
    case.agree("critical_patch_index1", tile_logits.argmax(0))
    return output.total(bag_loss)


def test_rotary_units(golden, dtype):
    case = golden("rope2d_units")
    dim, lattice = case.config["dim"], case.given("coords")[0]
    features = case.given("features")
    line = torch.arange(case.config["span"])
    line = torch.stack((line, line * 0), dim=1)  # along the first axis
    released_scale = {"pixel": 400, "lang": 1}  # the release divides positions, we frequencies
    frequencies = {"pixel": pixel_frequencies(dim), "lang": lang_frequencies(dim)}
    for name, steps in frequencies.items():
        angles = rotary_angles(line, steps)[:, : dim // 4].repeat_interleave(2, dim=1)
        case.agree(f"{name}.inv_freq", steps * released_scale[name])
        case.agree(f"{name}.cos_table", angles.cos())
        case.agree(f"{name}.sin_table", angles.sin())
        case.agree(f"{name}.rotated", rotate(features, rotary_angles(lattice, steps)))
    quarter = torch.full((features.shape[2], dim // 2), math.pi / 2, dtype=torch.float64)
    case.agree("rotate_half", rotate(features, quarter))
    waves = sine_embedding(lattice, case.given("sine_features").shape[-1])
    case.agree("sine_added", case.given("sine_features")[0] + waves.to(dtype))
    case.agree("new_gelu", functional.gelu(case.given("gelu_x"), approximate="tanh"))
    case.leave_out("grid")  # a bag carries its lattice: no model divides coordinates
