"""ASMIL's two networks and the released training loop; the normalised sigmoid."""

import copy
import math
import re

import torch
from torch.nn import functional

from wsi_tools.mil import Bag, asmil
from wsi_tools.mil.asmil import ASMIL
from wsi_tools.mil.layers import normalised_sigmoid
from wsi_tools.mil.original import load_original
from wsi_tools.mil.stabilizer import distillation, move_average


def _released(case, dtype, **options):
    """The model as released: a frozen anchor of its own weights, the mean over everything."""
    config = case.config
    settings = {
        "tokens": config["tok"],
        "dim": config["di"],
        "drop_ratio": config["drop"] / config["tok"],
        "token_drop": "count",
        "anchor": "frozen",
        "reduction": "mean_all",
        "beta": 1.0,
        "dropout": 0.0,
    }
    model = ASMIL(config["df"], config["C"], **settings | options).to(dtype).eval()
    load_original(model.model, case.state("online"), asmil.ORIGINAL_KEYS)
    load_original(model.anchor, case.state("anchor"), asmil.ORIGINAL_KEYS)
    return model


def _temperatures(case):
    return [
        found[1] for key in case.arrays if (found := re.fullmatch(r"out/loss_kd_temp([\d.]+)", key))
    ]


def test_asmil(golden, dtype):
    case = golden("asmil")
    case.open = {key for key in case.open if "trace" not in key}
    (total_temperature,) = re.findall(r"loss_total_temp([\d.]+)", " ".join(case.open))
    model = _released(case, dtype, temperature=float(total_temperature))
    online, anchor = model.model, model.anchor
    features, label = case.given("features"), case.given("label")[0]
    bag = Bag.of_slide(features[0])
    output, scored = model(bag, label), online.score(bag)
    attention = scored.scores.softmax(dim=-1)  # (heads, tokens, N)
    rows = zip(online.readers, attention.unbind(1), strict=True)
    found = torch.stack([reader.pool(row, scored.tiles) for reader, row in rows])
    slide_loss = functional.cross_entropy(output.logits, label)
    output.total(slide_loss).backward()
    case.agree("sub_logits", online.token_logits(found))
    case.agree("logits", output.logits)
    case.agree("prob", output.logits.softmax(-1))
    case.agree("attention_raw", output.scores)
    case.agree("attention_softmax", attention)
    case.agree("loss_ce", slide_loss)
    case.agree(f"loss_total_temp{total_temperature}", output.total(slide_loss))
    _agree_distillation(case, scored.scores, anchor.score(bag).scores)
    _agree_token_drop(case, online, found)
    case.agree_input_gradient("in.features", features)
    case.agree_parameter_gradients(online, asmil.ORIGINAL_KEYS)
    follower = copy.deepcopy(anchor)
    move_average(follower, online, 0.999)
    case.agree("derived.ema_q_m0.999", follower.tokens)


def _agree_distillation(case, scores, anchor_scores):
    case.agree("anchor_attention_raw", anchor_scores)
    for temperature in _temperatures(case):
        target = normalised_sigmoid(anchor_scores, float(temperature))
        case.agree(f"anchor_nsf_temp{temperature}", target)
        case.agree(f"loss_kd_temp{temperature}", distillation(scores, target, "mean_all"))
        divergence = distillation(scores, target, "sum")
        case.agree(f"derived.kl_mean_heads_tokens_temp{temperature}", divergence)


def _agree_token_drop(case, online, found):
    torch.manual_seed(int(case.given("train_seed")))
    online.train()
    kept = online.kept(len(found))
    online.eval()
    dropped = sorted(set(range(len(found))) - set(kept.tolist()))
    assert dropped == sorted(case.expected("train_dropped_tokens").tolist())
    case.leave_out("train_dropped_tokens")  # compared as a set, just above
    case.agree("train_logits_token_drop", online.classify(found[kept]))


def test_the_released_training_loop(golden, dtype):
    case = golden("asmil")
    case.open = {key for key in case.open if "trace" in key}
    model = _released(case, dtype, temperature=0.5, drop_ratio=0.0).train()
    before = copy.deepcopy(model.anchor.state_dict())
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trainable, weight_decay=1e-5)
    pairs = [("features", "label"), ("features2", "label2")]
    bags = [Bag.of_slide(case.given(name)[0].detach()) for name, _ in pairs]
    labels = [case.given(name)[0] for _, name in pairs]
    losses, rates = [], []
    for step in range(4):  # 2 epochs of 2 slides
        rate = 2e-3 * 0.5 * (1 + math.cos(math.pi * (step / 2) / 4))  # half-cosine over 4 epochs
        optimiser.param_groups[0]["lr"] = rate
        output = model(bags[step % 2], labels[step % 2])
        slide_loss = functional.cross_entropy(output.logits, labels[step % 2])
        optimiser.zero_grad()
        output.total(slide_loss).backward()
        torch.nn.utils.clip_grad_norm_(trainable, 5.0)
        optimiser.step()
        model.after_step()
        losses.append(slide_loss.detach())
        rates.append(rate)
    after = model.anchor.state_dict()
    moved = max(float((after[key] - before[key]).abs().max()) for key in before)
    case.agree("trace_slide_loss", torch.stack(losses))
    case.agree("trace_lr", torch.tensor(rates, dtype=torch.float64))
    case.agree("trace_final_logits", model.eval()(bags[0]).logits)
    case.agree("trace_anchor_max_change", moved)


def test_normalised_sigmoid(golden):
    case = golden("nsf_sigmax")
    scores = case.given("scores")
    gates = normalised_sigmoid(scores)
    case.agree("nsf", gates)
    case.agree("nsf_temp0.5", normalised_sigmoid(scores, 0.5))
    case.agree("softmax", scores.softmax(-1))
    gates.square().sum().backward()
    case.agree_input_gradient("in.scores", scores)
