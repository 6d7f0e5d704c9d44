"""The published baselines that read order or group at random: TransMIL and DTFD-MIL."""

import pytest
import torch
from torch.nn import functional

from wsi_tools.mil import Bag, create_model, dtfd, transmil
from wsi_tools.mil.original import load_original


def test_transmil(golden, dtype):
    case = golden("transmil")
    model = create_model("transmil", case.config["inp"], case.config["C"], dim=case.config["dim"])
    model.to(dtype).eval()
    load_original(model, case.state(), transmil.ORIGINAL_KEYS)
    features, label = case.given("features"), case.given("label")[0]
    seen = {}
    for name in ("project", "layer1", "position", "layer2"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: output})
        )
    logits = model(Bag.of_slide(features[0])).logits
    loss = functional.cross_entropy(logits, label)
    loss.backward()
    case.agree("logits", logits)
    case.agree("prob", logits.softmax(-1))
    case.agree("pred", logits.argmax())
    case.agree("loss", loss)
    case.agree("fc1", seen["project"])
    case.agree("layer1_out", seen["layer1"][0])
    case.agree("ppeg_out", seen["position"])
    case.agree("layer2_out", seen["layer2"][0])
    case.agree("layer2_cls_attention_heads", seen["layer2"][1])
    case.agree_input_gradient("in.features", features)
    case.agree_parameter_gradients(model, transmil.ORIGINAL_KEYS)


def _dtfd(case, dtype, distillation):
    config = case.config
    model = create_model(
        "dtfd",
        config["inp"],
        config["C"],
        dim=config["dim"],
        attention_dim=config["D"],
        groups=int(case.given("num_groups")),
        instances=int(case.given("total_instance")),
        residuals=config["res"],
        distillation=distillation,
        detach=False,  # as the golden gradients were taken
    )
    model.to(dtype).eval()
    released = [case.state(module) for module in case.meta["modules"]]
    state = {
        f"{module}.{key}": value
        for module, part in zip(case.meta["modules"], released, strict=True)
        for key, value in part.items()
    }
    load_original(model, state, dtfd.ORIGINAL_KEYS)
    return model


def _groups(case):
    permutation = case.given("permutation")
    return permutation.tensor_split(int(case.given("num_groups")))


def test_dtfd_first_tier(golden, dtype):
    case = golden("dtfd")
    case.open = {key for key in case.open if "tier2" not in key and "S." not in key}
    model = _dtfd(case, dtype, "afs")
    features, label = case.given("features"), case.given("label")[0]
    groups = _groups(case)
    output = model.read(features, groups, label)
    output.auxiliary["tier1"].backward()
    tiles = model.project(features)
    bags = [model.tier1(tiles[rows], output.scores[0, rows], rows) for rows in groups]
    for index, bag in enumerate(bags):
        case.agree(f"group{index}.attention", bag.attention)
        case.agree(f"group{index}.instance_prob", bag.probabilities)
    case.agree("sub_logits", torch.stack([bag.logits for bag in bags]))
    case.agree("loss_tier1", output.auxiliary["tier1"])
    case.agree_input_gradient("tier1.in.features", features)
    case.agree_parameter_gradients(model, dtfd.ORIGINAL_KEYS, "tier1.")
    case.leave_out("margin")  # how far apart the file's scores are: a property of the data


@pytest.mark.parametrize(
    ("variant", "distillation"), [("AFS", "afs"), ("MaxS", "max"), ("MaxMinS", "maxmin")]
)
def test_dtfd_second_tier(golden, dtype, variant, distillation):
    case = golden("dtfd")
    case.open = {key for key in case.open if f"/{variant}." in key or f"tier2.{variant}." in key}
    model = _dtfd(case, dtype, distillation)
    features, label = case.given("features"), case.given("label")[0]
    handed_on = []
    model.bag_attention.register_forward_hook(lambda module, inputs, _: handed_on.extend(inputs))
    logits = model.read(features, _groups(case)).logits
    loss = functional.cross_entropy(logits, label)
    loss.backward()
    case.agree(f"{variant}.pseudo_features", handed_on[0])
    case.agree(f"{variant}.slide_logits", logits)
    case.agree(f"{variant}.loss_tier2", loss)
    case.agree_input_gradient(f"tier2.{variant}.in.features", features)
    case.agree_parameter_gradients(model, dtfd.ORIGINAL_KEYS, f"tier2.{variant}.")
