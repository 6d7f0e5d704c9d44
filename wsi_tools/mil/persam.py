"""PersAM: tiles, clinical tables and classes attend to each other; the record weighs the tiles.

Takagi et al.; J Pathol Inform 2023;14:100185, arXiv:2206.03003. Departures: the CNN is the
backbone's business; any number of tables of any width, any bag size; the balanced attention is
computed in a stable form that holds no tile × tile matrix; the factor 0.05 in the released loss
becomes 5/N, the same at the released bag size of 100; the cross entropy is the task's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from wsi_tools.errors import InputError
from wsi_tools.mil.bag import Bag, MILModel, MILOutput
from wsi_tools.mil.cards import CARDS
from wsi_tools.mil.grouped_attention import GroupedAttention, Groups
from wsi_tools.mil.options import require_choice

__all__ = [
    "ENCODER_ORIGINAL_KEYS",
    "ORIGINAL_KEYS",
    "PersAM",
    "Personal",
    "class_weights",
    "evidence_loss",
    "log_doubt",
]

ENCODER_ORIGINAL_KEYS = {
    r"pos_embedding_1": "tile_kind",
    r"pos_embedding_2": "table_kinds",
    r"cls_token": "class_tokens",
    **{
        rf"transformer_encoder{index + 1}\.{released}": f"layers.{index}.{ours}"
        for index in range(2)  # the released depth
        for released, ours in {
            r"self_attn\.to_qkv": "attention.to_qkv",
            r"self_attn\.to_out\.0": "attention.merge",
            r"ffn\.net": "feed",
            r"norm1": "attention_norm",
            r"norm2": "feed_norm",
        }.items()
    },
    r"fc": "project",
    r"attention\.to_qkv": "to_qkv",
    r"classifier": "classifier",
    r"norm1": "pooled_norm",
    r"norm_img": "tile_norms.features",
    r"norm_img_emb": "tile_norms.kind",
    r"norm_img_all": "tile_norms.total",
    r"norm_table": "table_norms.features",
    r"norm_table_emb": "table_norms.kind",
    r"norm_table_all": "table_norms.total",
    r"norm_cls_token": "class_norm",
}
"""Of the released encoder, aggregator and classifier alone."""

ORIGINAL_KEYS = {
    **{rf"attention\.{released}": ours for released, ours in ENCODER_ORIGINAL_KEYS.items()},
    r"MLP_fc1\.fc1": "tables.0",
    r"MLP_fc2\.fc1": "tables.1",
}
"""Of the whole released model, which has two tables."""


@dataclass(frozen=True, eq=False)
class Personal:
    """A bag read in the light of its record; every attention is a (product of) sigmoid(s).

    Attributes:
        logits: ``(n_out,)``.
        classwise: ``(n_out, N)``, class to tile.
        exploratory: ``(N,)``, table to tile, mean over the tables.
        class_table: ``(n_out,)``, class to table, mean over the tables.
        explanatory: ``(n_out, N)``, the product of the three.
        weights: ``(N,)``, the largest explanatory attention over the classes, divided by its sum.
    """

    logits: Tensor
    classwise: Tensor
    exploratory: Tensor
    class_table: Tensor
    explanatory: Tensor
    weights: Tensor


class _TokenNorms(nn.Module):
    """Norms of what a token says, of what kind it is, and of their sum."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.features, self.kind, self.total = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, kind: Tensor) -> Tensor:
        tokens: Tensor = self.dropout(self.total(self.features(features) + self.kind(kind)))
        return tokens


class _Layer(nn.Module):
    """One post-norm encoder layer."""

    def __init__(
        self, dim: int, heads: int, ffn_dim: int, *, balanced: bool, dropout: float
    ) -> None:
        super().__init__()
        self.attention = GroupedAttention(dim, heads, balanced=balanced, dropout=dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed = nn.Sequential(
            nn.Linear(dim, ffn_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(ffn_dim, dim),
            nn.Dropout(dropout),
        )
        self.feed_norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, groups: Groups) -> Tensor:
        tokens = self.attention_norm(tokens + self.attention(tokens, groups))
        updated: Tensor = self.feed_norm(tokens + self.feed(tokens))
        return updated


class PersAM(MILModel):
    """Personalised attention.

    The display attention and the scores are the explanatory attention ``(n_out, N)``, a product of
    sigmoids in (0, 1), not normalised; ``views`` holds all four attentions. With a target, the
    auxiliary loss ``evidence`` asks that some tile explains the class and none another.

    Args:
        in_dim: feature width.
        n_out: number of classes.
        tables: number of columns of each clinical table.
        dim: token width.
        depth: encoder layers.
        heads: attention heads.
        ffn_dim: hidden width of the layers.
        dropout: everywhere the paper has it.
        balanced: share attention among the groups of tokens first (the release's default).
        projector: ``linear`` (released) or ``mlp1024``, two layers (the paper's text).
        score_scale: divide the sigmoids' scores by the root of their width (``rsqrt-dim``,
            released) or not (``none``, the paper's formula).
        smoothing: of the evidence loss's labels.
        evidence_factor: what a tile's attention counts towards the bag's; None is 5/N, at most 1.
        class_counts: training cases of each class, to weigh the evidence loss; None, no weights.
        class_weighting: see `class_weights`.
    """

    card = CARDS["persam"]

    def __init__(  # noqa: PLR0913 - the signature is the configuration
        self,
        in_dim: int,
        n_out: int,
        *,
        tables: tuple[int, ...],
        dim: int = 512,
        depth: int = 2,
        heads: int = 8,
        ffn_dim: int = 512,
        dropout: float = 0.1,
        balanced: bool = True,
        projector: Literal["linear", "mlp1024"] = "linear",
        score_scale: Literal["rsqrt-dim", "none"] = "rsqrt-dim",
        smoothing: float = 0.05,
        evidence_factor: float | None = None,
        class_counts: tuple[int, ...] | None = None,
        class_weighting: Literal["true-class", "per-class"] = "true-class",
    ) -> None:
        super().__init__()
        scaled = require_choice("score_scale", score_scale, ("rsqrt-dim", "none")) == "rsqrt-dim"
        self.scale = dim**-0.5 if scaled else 1.0
        self.smoothing, self.evidence_factor = smoothing, evidence_factor
        weights = class_weights(class_counts or (1,) * n_out, class_weighting)
        weights = weights if class_counts else torch.ones_like(weights)
        self.class_weights = weights  # a plain attribute: configuration, kept in float64
        self.project = _projector(projector, in_dim, dim)
        self.tables = nn.ModuleList(_table_network(columns, dim) for columns in tables)
        self._add_tokens(n_out, len(tables), dim, dropout)
        self.layers = nn.ModuleList(
            _Layer(dim, heads, ffn_dim, balanced=balanced, dropout=dropout) for _ in range(depth)
        )
        self._add_aggregator(n_out, dim, dropout)

    def _add_tokens(self, n_out: int, tables: int, dim: int, dropout: float) -> None:
        self.tile_kind = nn.Parameter(torch.randn(1, dim))
        self.table_kinds = nn.Parameter(torch.randn(tables, dim))
        self.class_tokens = nn.Parameter(torch.randn(n_out, dim))
        self.tile_norms, self.table_norms = (_TokenNorms(dim, dropout) for _ in range(2))
        self.class_norm = nn.LayerNorm(dim)

    def _add_aggregator(self, n_out: int, dim: int, dropout: float) -> None:
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.weight_dropout = nn.Dropout(dropout)
        self.pooled_norm = nn.LayerNorm(dim)
        self.classifier = nn.Sequential(
            nn.Linear(dim, dim // 2), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim // 2, n_out)
        )

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Read the record, then the tiles in its light."""
        read = self.read(bag.tiles, self.read_record(bag.clinical))
        output = MILOutput(read.logits, read.explanatory, read.explanatory, views=_views(read))
        if target is None:
            return output
        factor = self.evidence_factor or min(1.0, 5 / len(bag))
        weights = self.class_weights[int(target)]
        loss = evidence_loss(read.explanatory, target, weights, factor, self.smoothing)
        return output.adding("evidence", loss)

    def read_record(self, clinical: Sequence[Tensor]) -> Tensor:
        """One ``(dim,)`` vector per table, stacked ``(tables, dim)``.

        Raises:
            InputError: the bag has another number of tables than the model.
        """
        if len(clinical) != len(self.tables):
            raise InputError(
                f"the bag has {len(clinical)} clinical tables and the model reads "
                f"{len(self.tables)}; give the tables of training with --table"
            )
        return torch.stack([net(row) for net, row in zip(self.tables, clinical, strict=True)])

    def read(self, tiles: Tensor, tables: Tensor) -> Personal:
        """Read ``(N, in_dim)`` tiles in the light of ``(tables, dim)`` record vectors."""
        groups = Groups(len(tiles), len(tables), len(self.class_tokens))
        tokens = torch.cat(
            (
                self.tile_norms(self.project(tiles), self.tile_kind),
                self.table_norms(tables, self.table_kinds),
                self.class_norm(self.class_tokens),
            )
        )  # (N + tables + classes, dim)
        for layer in self.layers:
            tokens = layer(tokens, groups)
        return self._aggregate(tokens, groups)

    def _aggregate(self, tokens: Tensor, groups: Groups) -> Personal:
        queries, keys, values = self.to_qkv(tokens).chunk(3, dim=1)  # (T, dim) each
        _, table_queries, class_queries = groups.split(queries)
        tile_keys, table_keys, _ = groups.split(keys)
        classwise = self._relevance(class_queries, tile_keys)  # (classes, N)
        exploratory = self._relevance(table_queries, tile_keys).mean(dim=0)  # (N,)
        class_table = self._relevance(class_queries, table_keys).mean(dim=1)  # (classes,)
        explanatory = classwise * class_table[:, None] * exploratory
        largest = explanatory.amax(dim=0)
        weights = largest / (largest.sum() + 1e-6)  # (N,); the release's guard
        pooled = self.weight_dropout(weights) @ groups.split(values)[0]
        logits = self.classifier(self.pooled_norm(pooled))
        return Personal(logits, classwise, exploratory, class_table, explanatory, weights)

    def _relevance(self, queries: Tensor, keys: Tensor) -> Tensor:
        scores = queries @ keys.T
        return torch.sigmoid(
            scores.to(torch.promote_types(scores.dtype, torch.float32)) * self.scale
        )


def class_weights(
    counts: Sequence[int], scheme: Literal["true-class", "per-class"] = "true-class"
) -> Tensor:
    """Weights ``(true class, class)`` of the evidence loss, from the training fold's counts.

    Class c of n cases weighs n / (2 n_c) where it is true and n / (2 (n - n_c)) where it is not;
    in the released code every false class takes the weight of the true class's negatives
    (``true-class``), ``per-class`` gives each its own.

    Raises:
        InputError: a class without cases, or with all of them.
    """
    require_choice("class_weighting", scheme, ("true-class", "per-class"))
    cases = torch.tensor(counts, dtype=torch.float64)
    if not bool(((cases > 0) & (cases < cases.sum())).all()):
        raise InputError(f"class_counts={tuple(counts)}: every class needs cases, and so do others")
    positive, negative = cases.sum() / (2 * cases), cases.sum() / (2 * (cases.sum() - cases))
    false = negative[:, None] if scheme == "true-class" else negative[None, :]
    return torch.where(torch.eye(len(cases), dtype=torch.bool), positive[:, None], false)


def log_doubt(explanatory: Tensor, factor: float) -> Tensor:
    """Log probability ``(n_out,)`` that no tile explains the class: sum of ln(1 - factor · a)."""
    claims = factor * explanatory
    return torch.log1p(-claims.clamp(max=1 - torch.finfo(claims.dtype).eps)).sum(dim=1)


def evidence_loss(
    explanatory: Tensor, target: Tensor, weights: Tensor, factor: float, smoothing: float
) -> Tensor:
    """Weighted binary cross entropy of "some tile explains the class", mean over the classes.

    Args:
        explanatory: ``(n_out, N)`` attention.
        target: the class index.
        weights: ``(n_out,)`` of the classes.
        factor: what a tile's attention counts.
        smoothing: labels are this far from 0 and 1.
    """
    doubt = log_doubt(explanatory, factor)  # ln (1 - P)
    belief = torch.log(-torch.expm1(doubt)).clamp(min=-100)  # ln P, bounded as torch's own loss is
    wanted = torch.full_like(doubt, smoothing)
    wanted[target] = 1 - smoothing
    losses = -(wanted * belief + (1 - wanted) * doubt.clamp(min=-100))
    return (weights.to(losses) * losses).mean()


def _views(read: Personal) -> dict[str, Tensor]:
    """The four attentions: ``(n_out, N)`` and ``(1, N)`` over the tiles, ``(n_out,)`` of tables."""
    return {
        "classwise": read.classwise,
        "exploratory": read.exploratory[None],
        "class_table": read.class_table,
        "explanatory": read.explanatory,
    }


def _projector(kind: str, in_dim: int, dim: int) -> nn.Module:
    if require_choice("projector", kind, ("linear", "mlp1024")) == "linear":
        return nn.Linear(in_dim, dim)
    return nn.Sequential(nn.Linear(in_dim, 1024), nn.ReLU(), nn.Linear(1024, dim))


def _table_network(columns: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(columns, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))
