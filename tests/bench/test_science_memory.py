"""What the memory bench counts on: no tensor of a training step grows with the square of N."""

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wsi_tools.mil import Bag, create_model


class Largest(TorchDispatchMode):
    """Remembers the number of values of the largest tensor any operation made."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.values = max([self.values, *sizes])
        return made


@pytest.mark.parametrize("rotary", ["pixel", "none"])
def test_a_roformer_training_step_makes_no_tile_by_tile_matrix(rotary):
    tiles, dim = 1500, 32
    model = create_model("roformer", dim, 2, dim=dim, heads=2, attention_dim=16, rotary=rotary)
    steps = torch.arange(tiles)
    bag = Bag.of_slide(torch.randn(tiles, dim), torch.stack((steps % 50, steps // 50), dim=1))
    with Largest() as largest:
        output = model(bag)
        functional.cross_entropy(output.logits, torch.tensor(1)).backward()
    assert largest.values == tiles * 4 * dim  # the hidden layer of the MLP
