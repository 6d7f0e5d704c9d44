"""Nyström attention: self-attention through landmarks, linear in the number of tokens.

Xiong et al., Nyströmformer (AAAI 2021, arXiv:2102.03902), with the padding and the pseudo-inverse
of the implementation that TransMIL (arXiv:2106.00908) was published with.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.layers import softmax
from wsi_tools.mil.options import require_divisible

__all__ = ["NystromAttention", "pseudo_inverse"]


class NystromAttention(nn.Module):
    """Maps ``(n, dim)`` tokens to ``(n, dim)``, and gives the first token's attention.

    Tokens are padded at the front to a multiple of `landmarks`; the padding is not masked, as
    published, so it takes part in the landmarks.

    Args:
        dim: token width.
        heads: attention heads.
        landmarks: number of landmarks.
        iterations: of the pseudo-inverse.
        dropout: after the output layer.
        kernel_size: of the depthwise convolution of the values along the sequence.
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int = 8,
        landmarks: int = 256,
        iterations: int = 6,
        dropout: float = 0.1,
        kernel_size: int = 33,
    ) -> None:
        super().__init__()
        self.heads, self.landmarks, self.iterations = heads, landmarks, iterations
        self.scale = 1 / math.sqrt(require_divisible("heads", dim, heads))
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.merge = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Conv2d(
            heads, heads, (kernel_size, 1), padding=(kernel_size // 2, 0), groups=heads, bias=False
        )

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the tokens; also the first token's signed attention row ``(heads, n)``."""
        padding = -len(tokens) % self.landmarks
        split = self.to_qkv(functional.pad(tokens, (0, 0, padding, 0))).unflatten(
            1, (3, self.heads, -1)
        )
        queries, keys, values = split.permute(1, 2, 0, 3)  # (heads, padded, d) each
        queries = queries * self.scale
        to_landmarks, inverse, from_landmarks = self._kernels(queries, keys)
        mixed = to_landmarks @ (inverse @ (from_landmarks @ values)) + self.residual(values)
        merged = self.dropout(self.merge(mixed.transpose(0, 1).flatten(1)))
        row = (
            to_landmarks[:, padding : padding + 1] @ inverse @ from_landmarks
        )  # (heads, 1, padded)
        return merged[padding:], row[:, 0, padding:]

    def _kernels(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Its three factors, ``(heads, padded, m)``, ``(heads, m, m)``, ``(heads, m, padded)``."""
        query_marks, key_marks = self._means(queries), self._means(keys)
        to_landmarks = softmax(queries @ key_marks.transpose(1, 2))
        among = softmax(query_marks @ key_marks.transpose(1, 2))
        from_landmarks = softmax(query_marks @ keys.transpose(1, 2))
        return to_landmarks, pseudo_inverse(among, self.iterations), from_landmarks

    def _means(self, vectors: Tensor) -> Tensor:
        return torch.unflatten(vectors, 1, (self.landmarks, -1)).mean(dim=2)  # (heads, m, d)


def pseudo_inverse(matrices: Tensor, iterations: int = 6) -> Tensor:
    """Iterative Moore-Penrose inverse of ``(heads, m, m)`` row-stochastic matrices.

    The starting value is scaled by the largest row and column sums over all heads, as published.
    Autocast is off: the iteration multiplies rounding errors.
    """
    with torch.autocast(matrices.device.type, enabled=False):
        matrices = matrices.to(torch.promote_types(matrices.dtype, torch.float32))
        largest = matrices.abs().sum(dim=-1).max() * matrices.abs().sum(dim=-2).max()
        inverse = matrices.transpose(1, 2) / largest
        eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
        for _ in range(iterations):
            product = matrices @ inverse
            step = 15 * eye - product @ (7 * eye - product)
            inverse = 0.25 * inverse @ (13 * eye - product @ step)
    return inverse
