"""A training step of torchmil's gated ABMIL: ``torchmil_step.py TILES WIDTH THREADS``."""

import sys

import torch
from answering import answer
from torch import nn
from torchmil.models import ABMIL


def main(tiles: int, width: int, threads: int) -> None:
    """Float32, 1024 → 512 → 256 as ours."""
    torch.set_num_threads(threads)
    extractor = nn.Sequential(nn.Linear(width, 512), nn.ReLU())
    model = ABMIL(in_shape=(width,), att_dim=256, gated=True, feat_ext=extractor)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    bag, label = torch.randn(1, tiles, width), torch.ones(1)

    def step() -> None:
        optimiser.zero_grad()
        _, losses = model.compute_loss(label, bag)
        sum(losses.values()).backward()
        optimiser.step()

    answer(step)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
