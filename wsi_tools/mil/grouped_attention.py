"""PersAM's self-attention over tiles, clinical tables and classes, plain or balanced by group.

Takagi et al., arXiv:2206.03003; the balanced form follows the released code. No form holds a
tile × tile matrix, except that torch has no fused kernel with dropout on the CPU.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.layers import softmax
from wsi_tools.mil.options import require_divisible

__all__ = ["GroupedAttention", "Groups"]

_NULL_SCORE = math.log(1e-6)  # the release's guard 1e-6 in a group's sum is a key of this score
_ALIGNMENT = 8  # fused kernels on the GPU want head widths in multiples of eight


@dataclass(frozen=True)
class Groups:
    """How many tokens of each kind follow each other: tiles, clinical tables, classes."""

    tiles: int
    tables: int
    classes: int

    def split(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Cut ``(..., T, d)`` tokens into tiles, tables and classes."""
        return torch.split(tokens, [self.tiles, self.tables, self.classes], dim=-2)


class GroupedAttention(nn.Module):
    """Multi-head self-attention in which the classes do not see each other.

    Args:
        dim: token width.
        heads: attention heads.
        balanced: first share each query among the groups by the groups' mean score (the classes'
            largest), then among the tokens of a group; else one softmax over all tokens.
        dropout: on the weights and after the output layer.
    """

    def __init__(self, dim: int, heads: int, *, balanced: bool, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads, self.balanced, self.dropout = heads, balanced, dropout
        self.scale = 1 / math.sqrt(require_divisible("heads", dim, heads))
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)

    def heads_of(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values ``(3, heads, T, d)`` of ``(T, dim)`` tokens."""
        split: Tensor = self.to_qkv(tokens).unflatten(1, (3, self.heads, -1))
        return split.permute(1, 2, 0, 3)

    def forward(self, tokens: Tensor, groups: Groups) -> Tensor:
        """Mix ``(T, dim)`` tokens."""
        queries, keys, values = self.heads_of(tokens)  # (heads, T, d) each
        mix = self._balanced if self.balanced else self._plain
        mixed = mix(queries, keys, values, groups).transpose(0, 1).flatten(1)  # (T, dim)
        return self._drop(self.merge(mixed))

    def _balanced(self, queries: Tensor, keys: Tensor, values: Tensor, groups: Groups) -> Tensor:
        tile_keys, table_keys, class_keys = groups.split(keys)
        tile_values, table_values, class_values = groups.split(values)
        tables = self._scores(queries, table_keys)  # (heads, T, tables)
        classes = _hide_other_classes(self._scores(queries, class_keys), groups)
        tiles_mean = self._scores(queries, tile_keys.mean(dim=1, keepdim=True))
        levels = torch.cat(
            (tiles_mean, tables.mean(-1, keepdim=True), classes.amax(-1, keepdim=True)), dim=-1
        )
        of_tiles, of_tables, of_classes = torch.split(softmax(levels), 1, dim=-1)  # (heads, T, 1)
        return (
            of_tiles * self._read_tiles(queries, tile_keys, tile_values)
            + of_tables * (self._drop(_guarded_softmax(tables)) @ table_values)
            + of_classes * (self._drop(_guarded_softmax(classes)) @ class_values)
        )

    def _read_tiles(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attention over the tiles and one key of score ln 1e-6 whose value is zero."""
        width = queries.shape[-1]
        keys, values = (functional.pad(part, (0, _ALIGNMENT, 0, 1)) for part in (keys, values))
        null = torch.zeros_like(keys)
        null[:, -1, width] = _NULL_SCORE / self.scale
        ones = functional.pad(torch.ones_like(queries[..., :1]), (0, _ALIGNMENT - 1))
        queries = torch.cat((queries, ones), dim=-1)
        return self._fused(queries, keys + null, values)[..., :width]

    def _plain(self, queries: Tensor, keys: Tensor, values: Tensor, groups: Groups) -> Tensor:
        readers, classes = torch.split(
            queries, [groups.tiles + groups.tables, groups.classes], dim=1
        )
        scores = self._scores(classes, keys)  # (heads, classes, T)
        seen, other = torch.split(scores, [groups.tiles + groups.tables, groups.classes], dim=-1)
        scores = torch.cat((seen, _hide_other_classes(other, groups)), dim=-1)
        of_classes = self._drop(softmax(scores)) @ values
        return torch.cat((self._fused(readers, keys, values), of_classes), dim=1)

    def _fused(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        batch = (queries[None], keys[None], values[None])
        mixed: Tensor = functional.scaled_dot_product_attention(
            *batch, dropout_p=dropout, scale=self.scale
        )
        return mixed.squeeze(0)

    def _scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.transpose(1, 2) * self.scale

    def _drop(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)


def _hide_other_classes(scores: Tensor, groups: Groups) -> Tensor:
    """Scores ``(heads, queries, classes)``, minus infinity between two classes."""
    others = ~torch.eye(groups.classes, dtype=torch.bool, device=scores.device)
    rest = scores.shape[1] - groups.classes
    return scores.masked_fill(functional.pad(others, (0, 0, rest, 0)), -math.inf)


def _guarded_softmax(scores: Tensor) -> Tensor:
    """``exp(r) / (sum exp(r) + 1e-6)`` over the last axis, for scores of any size."""
    return softmax(functional.pad(scores, (0, 1), value=_NULL_SCORE))[..., :-1]
