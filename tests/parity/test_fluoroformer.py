"""Fluoroformer's two variants and the discrete-time objective, as released."""

import pytest
import torch

from wsi_tools.mil import Bag, create_model, fluoroformer
from wsi_tools.mil.original import load_original
from wsi_tools.mil.survival import (
    hazards,
    negative_log_likelihood,
    risk,
    survival,
    time_bins,
)

RELEASED_EPS = 1e-8


@pytest.mark.parametrize(
    ("case_name", "stain"), [("fluoroformer_mif", "mif"), ("fluoroformer_hne", "hne")]
)
def test_fluoroformer(golden, dtype, case_name, stain):
    case = golden(case_name)
    config = case.config
    model = create_model(
        "fluoroformer",
        config["embed"],
        config["cutoffs"] + 1,
        stain=stain,
        hidden_dim=config["hidden"],
    )
    model.to(dtype).eval()
    load_original(model, case.state(), fluoroformer.ORIGINAL_KEYS)
    embeddings = case.given("embeddings")
    bags = [Bag.of_slide(features) for features in embeddings]
    outputs = [model(bag) for bag in bags]
    tiles = [model.score(bag).tiles for bag in bags]
    logits = torch.stack([output.logits for output in outputs])  # (B, bins)
    loss = _agree_survival(case, logits)
    loss.backward()
    pooled = [output.attention @ tile for output, tile in zip(outputs, tiles, strict=True)]
    case.agree("patch_attention", torch.stack([output.attention for output in outputs]))
    case.agree("pooled", torch.stack(pooled))
    if stain == "mif":
        case.agree("fused_patch_embedding", torch.stack(tiles))
        case.agree("marker_attention", torch.cat([output.marker_attention for output in outputs]))
    case.agree_input_gradient("in.embeddings", embeddings)
    case.agree_parameter_gradients(model, fluoroformer.ORIGINAL_KEYS)


def _agree_survival(case, logits):
    bins, censored = case.given("time_bin")[:, 0], case.given("censor")[:, 0]
    per_bag = negative_log_likelihood(logits, bins, censored, RELEASED_EPS)
    case.agree("logits", logits)
    case.agree("hazard", hazards(logits))
    case.agree("survival", survival(logits))
    case.agree("neg_risk", -risk(logits))
    case.agree("loss", per_bag.mean())
    case.agree("loss_per_bag_bin_censor", _every_follow_up(logits))
    return per_bag.mean()


def _every_follow_up(logits):
    """The loss of every bag if its bin were k and its censor flag c: ``(B, bins, 2)``."""
    count = logits.shape[1]
    columns = [
        [
            negative_log_likelihood(
                logits,
                torch.full((len(logits),), k),
                torch.full((len(logits),), c),
                RELEASED_EPS,
            )
            for c in (0, 1)
        ]
        for k in range(count)
    ]
    return torch.stack([torch.stack(pair, dim=-1) for pair in columns], dim=1)


def test_survival_nll(golden):
    case = golden("survival_nll")
    logits, censored = case.given("logits"), case.given("censor")[:, 0]
    bins = time_bins(case.given("time").detach(), case.given("cutoffs").detach())
    per_sample = negative_log_likelihood(logits, bins, censored, RELEASED_EPS)
    per_sample.mean().backward()
    case.agree("time_bin", bins)
    case.agree("loss_per_sample", per_sample)
    case.agree("loss_mean", per_sample.mean())
    case.agree("hazard", hazards(logits))
    case.agree("survival", survival(logits))
    case.agree("neg_risk", -risk(logits))
    case.agree("risk", risk(logits))
    case.agree_input_gradient("in.logits", logits)
    case.leave_out("cindex_risk", "cindex_per_bin_hazard")  # the metrics' room compares these


def test_the_stable_likelihood_is_the_released_one_up_to_its_eps(golden, dtype):
    case = golden("survival_nll")
    case.open.clear()
    logits, censored = case.given("logits"), case.given("censor")[:, 0]
    bins = time_bins(case.given("time").detach(), case.given("cutoffs").detach())
    stable = negative_log_likelihood(logits, bins, censored)
    released = torch.from_numpy(case.expected("loss_per_sample")).to(dtype)
    # eps / hazard is below 1e-6 for the hazards of the file; float32 adds its own rounding
    torch.testing.assert_close(stable, released, rtol=0, atol=max(1e-6, case.atol))
