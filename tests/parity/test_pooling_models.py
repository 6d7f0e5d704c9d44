"""The published baselines that pool by attention: ABMIL, CLAM, DSMIL, ACMIL."""

import pytest
from torch.nn import functional

from wsi_tools.mil import Bag, abmil, acmil, clam, create_model, dsmil
from wsi_tools.mil.original import load_original


@pytest.mark.parametrize(
    ("case_name", "name", "keys"),
    [
        ("abmil", "abmil", abmil.ORIGINAL_KEYS),
        ("abmil_gated", "gated-abmil", abmil.GATED_ORIGINAL_KEYS),
    ],
)
def test_abmil(golden, dtype, case_name, name, keys):
    case = golden(case_name)
    config = case.config
    sizes = {"hidden_dim": config["M"], "attention_dim": config["L"]}
    model = create_model(name, config["inp"], 1, **sizes).to(dtype).eval()
    load_original(model, case.state(), keys)
    features = case.given("features")
    output = model(Bag.of_slide(features[0]))
    chance = output.logits.sigmoid()
    bounded = chance.clamp(1e-5, 1 - 1e-5)  # the released loss's bounds
    loss = functional.binary_cross_entropy(bounded, case.given("label").to(dtype))
    loss.backward()
    case.agree("prob", chance)
    case.agree("pred", (chance >= 0.5).to(dtype))
    case.agree("attention", output.attention)
    case.agree("loss", loss)
    case.agree_input_gradient("in.features", features)
    case.agree_parameter_gradients(model, keys)


@pytest.mark.parametrize("case_name", ["clam_sb", "clam_mb", "clam_sb_ungated"])
def test_clam(golden, dtype, case_name):
    case = golden(case_name)
    config = case.config
    model = create_model(
        "clam-mb" if "_mb" in case_name else "clam-sb",
        config["inp"],
        config["C"],
        hidden_dim=config["h"],
        attention_dim=config["d"],
        gated="ungated" not in case_name,
        k_sample=config["k"],
        bag_weight=case.given("bag_weight").item(),
        subtyping=True,
    )
    model.to(dtype).eval()
    load_original(model, case.state(), clam.ORIGINAL_KEYS)
    features, label = case.given("features"), case.given("label")[0]
    bag = Bag.of_slide(features)
    output, scored = model(bag, label), model.score(bag)
    loss = functional.cross_entropy(output.logits, label)
    output.total(loss).backward()
    case.agree("logits", output.logits)
    case.agree("prob", output.logits.softmax(-1))
    case.agree("pred", output.logits.argmax())
    case.agree("attention_raw", output.scores)
    case.agree("attention", output.attention)
    case.agree("bag_feature", output.attention @ scored.tiles)
    case.agree("loss_bag", loss)
    for subtyping in (True, False):
        _agree_instances(case, model, bag, label, subtyping=subtyping)
    case.agree_input_gradient("in.features", features)
    case.agree_parameter_gradients(model, clam.ORIGINAL_KEYS)
    case.leave_out("margin")  # how far apart the file's scores are: a property of the data


def _agree_instances(case, model, bag, label, *, subtyping):
    model.subtyping = subtyping
    name = "subtyping" if subtyping else "no_subtyping"
    output, scored = model(bag, label), model.score(bag)
    instances = model.instances(scored.tiles, output.attention, label)
    case.agree(f"{name}.instance_loss", instances.loss)
    case.agree(f"{name}.inst_labels", instances.labels)
    case.agree(f"{name}.inst_preds", instances.logits.argmax(-1))
    case.agree(f"{name}.total_loss", output.total(functional.cross_entropy(output.logits, label)))


@pytest.mark.parametrize("variant", ["nonlinear", "passing_v"])
def test_dsmil(golden, dtype, variant):
    case = golden("dsmil")
    case.open = {key for key in case.open if f"/{variant}." in key}
    options = {"nonlinear": variant == "nonlinear", "passing_v": variant == "passing_v"}
    model = create_model("dsmil", case.config["inp"], case.config["C"], **options)
    model.to(dtype).eval()
    load_original(
        model, case.state(None if variant == "nonlinear" else variant), dsmil.ORIGINAL_KEYS
    )
    features, target = case.given("features"), case.given("label")[0].detach()
    bag = Bag.of_slide(features)
    output, scored = model(bag, target), model.score(bag)
    bag_loss = functional.binary_cross_entropy_with_logits(output.logits, target)
    total = output.total(bag_loss)
    total.backward()
    tile_logits = scored.context["tile_logits"]
    case.agree(f"{variant}.instance_logits", tile_logits)
    case.agree(f"{variant}.bag_logits", output.logits)
    case.agree(f"{variant}.attention", output.attention.T)
    case.agree(f"{variant}.bag_embedding", output.attention @ scored.tiles)
    case.agree(f"{variant}.loss_bag", bag_loss)
    case.agree(f"{variant}.loss_max", output.auxiliary["max"] / 0.5)
    case.agree(f"{variant}.loss", total)
    case.agree(f"{variant}.prob", output.logits.sigmoid())
    case.agree(f"{variant}.critical_index", tile_logits.argmax(0))
    case.agree_input_gradient(f"{variant}.in.features", features)
    case.agree_parameter_gradients(model, dsmil.ORIGINAL_KEYS, f"{variant}.")


@pytest.mark.parametrize(("variant", "weights"), [("softmax", "softmax"), ("sigmax", "sigmoid")])
def test_acmil(golden, dtype, variant, weights):
    case = golden("acmil_ga")
    case.open = {key for key in case.open if f"/{variant}." in key}
    config = case.config
    sizes = {"dim": config["di"], "attention_dim": config["D"], "tokens": config["tok"]}
    model = create_model("acmil", config["df"], config["C"], weights=weights, **sizes)
    model.to(dtype).eval()
    load_original(model, case.state(), acmil.ORIGINAL_KEYS)
    features, label = case.given("features"), case.given("label")[0]
    bag = Bag.of_slide(features[0])
    output, scored = model(bag, label), model.score(bag)
    slide_loss = functional.cross_entropy(output.logits, label)
    total = output.total(slide_loss)
    total.backward()
    case.agree(f"{variant}.sub_logits", model.branch_logits(scored.tiles, output.attention))
    case.agree(f"{variant}.logits", output.logits)
    case.agree(f"{variant}.attention_raw", output.scores)
    case.agree(f"{variant}.loss_branch", output.auxiliary["branch"])
    case.agree(f"{variant}.loss_slide", slide_loss)
    case.agree(f"{variant}.loss_diversity", output.auxiliary["diversity"])
    case.agree(f"{variant}.loss_total", total)
    case.agree(f"{variant}.bag_feature", output.attention.mean(0) @ scored.tiles)
    case.agree_input_gradient(f"{variant}.in.features", features)
    case.agree_parameter_gradients(model, acmil.ORIGINAL_KEYS, f"{variant}.")
