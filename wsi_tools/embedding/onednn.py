"""Layers on oneDNN's fused kernels: a convolution with what follows it, and a product.

PyTorch's own compiler lowers networks to the same operators. Eager PyTorch takes slower kernels for
float32: products by MKL, and convolutions of small batches by unfolding.
"""

import torch
from torch import Tensor, nn

__all__ = ["Convolution", "Product", "computes_in", "is_plain"]

ACTIVATIONS = {nn.ReLU: "relu", nn.SiLU: "swish", nn.Hardswish: "hardswish"}
"""What may follow in the same kernel, by oneDNN's names."""


def computes_in(dtype: torch.dtype) -> bool:
    """Whether this PyTorch and this processor have the kernels for a precision."""
    kernels = torch.ops.mkldnn
    if not all(hasattr(kernels, name) for name in ("_convolution_pointwise", "_linear_pointwise")):
        return False
    reduced = dtype == torch.bfloat16 and kernels._is_mkldnn_bf16_supported()
    return dtype == torch.float32 or reduced


def is_plain(layer: nn.Module | None) -> bool:
    """Whether a layer is a convolution that the kernels know: of no subclass, zeros around."""
    return (
        type(layer) is nn.Conv2d
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


BATCH = 8  # tiles, as `embed` takes them on a CPU


class Convolution(nn.Module):
    """A convolution, the sum with another map if one is given, and an activation.

    Args:
        layer: a plain convolution in float32.
        size: (C, H, W) of the maps that it will see most; the best layout of weights depends on it.
        activation: oneDNN's name for it, or ``none``.
    """

    def __init__(
        self, layer: nn.Conv2d, size: tuple[int, int, int], activation: str = "none"
    ) -> None:
        super().__init__()
        self.size = size
        self.activation = activation
        self.geometry = (
            list(layer.padding),
            list(layer.stride),
            list(layer.dilation),
            layer.groups,
        )
        self.dtype = torch.float32
        self.weight = layer.weight.detach().to(memory_format=torch.channels_last)
        self.bias = None if layer.bias is None else layer.bias.detach()

    def pack(self, dtype: torch.dtype) -> None:
        """Lay the weights out as the kernels want them, in float32 or bfloat16; done once."""
        self.dtype = dtype
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            self.weight.to(dtype), *self.geometry, [BATCH, *self.size]
        )
        self.bias = None if self.bias is None else self.bias.to(dtype)

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) → (B, C', H', W'); `other` is of the shape of the result."""
        layer = (self.weight, self.bias, *self.geometry)
        kernel = torch.ops.mkldnn._convolution_pointwise
        maps = maps.to(self.dtype)
        made: Tensor
        if other is None:
            made = kernel(maps, *layer, self.activation, [], "")
        else:
            after = None if self.activation == "none" else self.activation
            other = other.to(self.dtype)
            made = kernel.binary(maps, other, *layer, "add", 1.0, after, [], "")
        return made


class Product(nn.Module):
    """A linear layer in float32."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, rows: Tensor) -> Tensor:
        """(…, D) → (…, D')."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self.weight, self.bias, "none", [], ""
        )
        return made
