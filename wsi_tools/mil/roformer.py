"""RoFormerMIL: exact self-attention among tiles with 2-D rotary positions, before any MIL head.

Pochet, Maroun, Trullo; MLMI 2023, arXiv:2310.01924. Departures: slides of one patient are encoded
one by one unless `across_slides` (the paper knows single slides); the paper's ABMIL head is offered
as ``gated-abmil`` beside the class attention that was released; angles are computed directly, so a
bag of one tile works.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_tools.mil.abmil import GatedABMIL
from wsi_tools.mil.bag import AttentionMIL, Bag
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.clam import ClamMB, ClamSB
from wsi_tools.mil.class_attention import ORIGINAL_KEYS as CLASS_ATTENTION_KEYS
from wsi_tools.mil.class_attention import ClassAttentionMIL
from wsi_tools.mil.composition import ComposedAttention
from wsi_tools.mil.dsmil import DSMIL
from wsi_tools.mil.options import require_choice, require_divisible
from wsi_tools.mil.rotary import (
    lang_frequencies,
    pixel_frequencies,
    rotary_angles,
    rotate,
    sine_embedding,
)

__all__ = ["ORIGINAL_KEYS", "Head", "RoFormerEncoder", "RoFormerMIL", "RotaryBlock"]

Head = Literal["class-mb", "class-sb", "gated-abmil", "dsmil", "clam-sb", "clam-mb"]

_BLOCK = r"positional_encoding\.attention_blocks\.(\d+)"
_DSMIL_KEYS = {
    r"patch_classifier\.fc\.0": "tile_classifier",
    r"attention_net\.q": "query",
    r"attention_net\.fcc": "bag_classifier",
}
ORIGINAL_KEYS = {
    rf"{_BLOCK}\.attn\.rope\.inv_freq": None,  # computed: see `pixel_frequencies`
    rf"{_BLOCK}\.ln_1": r"encoder.blocks.\1.attention_norm",
    rf"{_BLOCK}\.attn\.input_projection": r"encoder.blocks.\1.to_qkv",
    rf"{_BLOCK}\.attn\.output_projection": r"encoder.blocks.\1.merge",
    rf"{_BLOCK}\.ln_2": r"encoder.blocks.\1.mlp_norm",
    rf"{_BLOCK}\.mlp\.c_fc": r"encoder.blocks.\1.mlp.0",
    rf"{_BLOCK}\.mlp\.c_proj": r"encoder.blocks.\1.mlp.2",
    r"dim_reduction_projection": "encoder.project",
    **{
        rf"mil_head\.{released}": f"aggregator.{ours}"
        for released, ours in {**CLASS_ATTENTION_KEYS, **_DSMIL_KEYS}.items()
    },
}


class RotaryBlock(nn.Module):
    """A pre-norm transformer block whose queries and keys are rotated by lattice position.

    Attention goes through torch's fused kernel, so memory grows with N and not with its square.
    """

    def __init__(self, dim: int, heads: int, *, dropout: float = 0.25) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(approximate="tanh"), nn.Linear(4 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def attend(self, tiles: Tensor, angles: Tensor | None) -> Tensor:
        """Exact self-attention ``(N, dim)`` to ``(N, dim)``; no angles, no positions."""
        split = self.to_qkv(tiles).unflatten(1, (3, self.heads, -1))  # (N, 3, heads, d)
        queries, keys, values = split.permute(1, 2, 0, 3)  # (heads, N, d) each
        if angles is not None:
            queries, keys = rotate(queries, angles), rotate(keys, angles)
        mixed = functional.scaled_dot_product_attention(queries[None], keys[None], values[None])[0]
        merged: Tensor = self.merge(mixed.transpose(0, 1).flatten(1))
        return merged

    def forward(self, tiles: Tensor, angles: Tensor | None) -> Tensor:
        """Encode ``(N, dim)`` tiles with ``(N, d / 2)`` rotary angles."""
        tiles = tiles + self.dropout(self.attend(self.attention_norm(tiles), angles))
        updated: Tensor = tiles + self.dropout(self.mlp(self.mlp_norm(tiles)))
        return updated


class RoFormerEncoder(nn.Module):
    """Lets the tiles of a slide see each other, with their lattice positions.

    Args:
        in_dim: feature width.
        dim: width of the encoded tiles.
        heads: attention heads; with `rotary`, ``dim / heads`` must be a multiple of four.
        blocks: number of blocks.
        rotary: ``pixel`` (even frequencies), ``lang`` (those of language models) or ``none``.
        position: ``sine`` adds an absolute embedding to the projected features.
        dropout: on both residual branches.
        max_frequency: of ``pixel``.
        theta: of ``lang``.
        across_slides: let all tiles of a patient see each other, not only those of one slide.
    """

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        *,
        dim: int = 512,
        heads: int = 8,
        blocks: int = 1,
        rotary: Literal["pixel", "lang", "none"] = "pixel",
        position: Literal["none", "sine"] = "none",
        dropout: float = 0.25,
        max_frequency: float = 400.0,
        theta: float = 10_000.0,
        across_slides: bool = False,
    ) -> None:
        super().__init__()
        require_choice("rotary", rotary, ("pixel", "lang", "none"))
        head_dim = require_divisible("heads", dim, heads)
        if rotary != "none":
            require_divisible("rotary positions: dim / heads", head_dim, 4)
        self.out_dim, self.across_slides = dim, across_slides
        self.sine = require_choice("position", position, ("none", "sine")) == "sine"
        # A plain attribute, no buffer: it stays float64 whatever the module becomes.
        self.frequencies: Tensor | None = None
        if rotary != "none":
            lang = rotary == "lang"
            self.frequencies = (
                lang_frequencies(head_dim, theta)
                if lang
                else pixel_frequencies(head_dim, max_frequency)
            )
        self.project = nn.Linear(in_dim, dim)
        self.blocks = nn.ModuleList(RotaryBlock(dim, heads, dropout=dropout) for _ in range(blocks))

    def forward(self, bag: Bag) -> Tensor:
        """Encode a bag's tiles: ``(N, dim)``."""
        projected: Tensor = self.project(bag.tiles)
        if self.across_slides:
            return self._encode(projected, bag.lattice)
        encoded = torch.empty_like(projected)
        for rows in bag.slides():
            encoded[rows] = self._encode(projected[rows], bag.lattice[rows])
        return encoded

    def _encode(self, tiles: Tensor, lattice: Tensor) -> Tensor:
        if self.sine:
            tiles = tiles + sine_embedding(lattice, self.out_dim).to(tiles.dtype)
        angles = self._angles(lattice)
        for block in self.blocks:
            tiles = block(tiles, angles)
        return tiles

    def _angles(self, lattice: Tensor) -> Tensor | None:
        if self.frequencies is None:
            return None
        return rotary_angles(lattice, self.frequencies.to(lattice.device))  # (N, head_dim / 2)


class RoFormerMIL(ComposedAttention):
    """The published pair: the encoder, then a head.

    Attention and scores are the head's; by default `ClassAttentionMIL` with a token per class.
    The heads ``dsmil``, ``clam-sb`` and ``clam-mb`` are for classification only.

    Args:
        in_dim: feature width.
        n_out: number of logits.
        head: ``class-mb`` (a token per class), ``class-sb`` (one token), or another aggregator with
            its own defaults.
        dim: width of the encoded tiles; this and what follows as in `RoFormerEncoder`.
        heads: see there.
        blocks: see there.
        rotary: see there.
        position: see there.
        dropout: see there.
        max_frequency: see there.
        theta: see there.
        across_slides: see there.
        attention_dim: width of the class attention.
        attention_heads: heads of the class attention.
    """

    card = CARDS["roformer"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        head: Head = "class-mb",
        dim: int = 512,
        heads: int = 8,
        blocks: int = 1,
        rotary: Literal["pixel", "lang", "none"] = "pixel",
        position: Literal["none", "sine"] = "none",
        dropout: float = 0.25,
        max_frequency: float = 400.0,
        theta: float = 10_000.0,
        across_slides: bool = False,
        attention_dim: int = 256,
        attention_heads: int = 8,
    ) -> None:
        encoder = RoFormerEncoder(
            in_dim,
            dim=dim,
            heads=heads,
            blocks=blocks,
            rotary=rotary,
            position=position,
            dropout=dropout,
            max_frequency=max_frequency,
            theta=theta,
            across_slides=across_slides,
        )
        aggregator = _head(head, dim, n_out, attention_dim, attention_heads)
        super().__init__(aggregator, encoder=encoder)


def _head(head: str, dim: int, n_out: int, attention_dim: int, heads: int) -> AttentionMIL:
    plain: dict[str, Callable[[int, int], AttentionMIL]] = {
        "gated-abmil": GatedABMIL,
        "dsmil": DSMIL,
        "clam-sb": ClamSB,
        "clam-mb": ClamMB,
    }
    require_choice("head", head, ("class-mb", "class-sb", *plain))
    if head in plain:
        return plain[head](dim, n_out)
    return ClassAttentionMIL(
        dim,
        n_out,
        branches="multi" if head == "class-mb" else "single",
        hidden_dim=dim,
        attention_dim=attention_dim,
        heads=heads,
    )
