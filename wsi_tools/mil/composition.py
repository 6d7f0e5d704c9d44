"""Models out of parts: fuse the markers, encode the tiles, then aggregate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from torch import Tensor, nn

from wsi_tools.mil.bag import AttentionMIL, Bag, MILModel, MILOutput, Scored

__all__ = ["Composed", "ComposedAttention", "Encoder", "Fusion", "compose"]


class Fusion(Protocol):
    """A module from ``(N, M, D)`` markers to ``(N, out_dim)`` tiles and a marker attention."""

    out_dim: int

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Fuse; the attention is ``(N, M, M)``, or None where there is none."""


class Encoder(Protocol):
    """A module from a bag of ``(N, D)`` features to ``(N, out_dim)`` tiles."""

    out_dim: int

    def __call__(self, bag: Bag) -> Tensor:
        """Encode the tiles, in the bag's order."""


class Composed(MILModel):
    """A model that reads what a fusion and an encoder made of the bag.

    Its card, attention and losses are the aggregator's.
    """

    def __init__(
        self,
        aggregator: MILModel,
        *,
        fusion: nn.Module | None = None,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.fusion, self.encoder, self.aggregator = fusion, encoder, aggregator
        if not hasattr(type(self), "card"):
            self.card = aggregator.card

    @property
    def takes_markers(self) -> bool:
        """Whether there is a fusion, or an aggregator that fuses."""
        return self.fusion is not None or self.aggregator.takes_markers

    def prepare(self, bag: Bag) -> tuple[Bag, Tensor | None]:
        """The bag that the aggregator sees, and the marker attention ``(N, M, M)`` if any."""
        marker_attention = None
        if self.fusion is not None:
            fused, marker_attention = self.fusion(bag.features)
            bag = bag.with_features(fused)
        if self.encoder is not None:
            bag = bag.with_features(self.encoder(bag))
        return bag, marker_attention

    def forward(self, bag: Bag, target: Tensor | None = None) -> MILOutput:
        """Fuse, encode, aggregate."""
        bag, marker_attention = self.prepare(bag)
        return _with_markers(self.aggregator(bag, target), marker_attention)

    def after_step(self) -> None:
        """Tell the aggregator."""
        self.aggregator.after_step()


class ComposedAttention(Composed, AttentionMIL):
    """The same around an attention model, whose two halves stay apart for the stabiliser."""

    aggregator: AttentionMIL

    def score(self, bag: Bag) -> Scored:
        """Fuse, encode, score."""
        bag, marker_attention = self.prepare(bag)
        scored = self.aggregator.score(bag)
        return replace(scored, context=_kept(scored.context, marker_attention))

    def normalise(self, scores: Tensor) -> Tensor:
        """As the aggregator does."""
        return self.aggregator.normalise(scores)

    def read_out(self, scored: Scored, attention: Tensor, target: Tensor | None) -> MILOutput:
        """As the aggregator does."""
        output = self.aggregator.read_out(scored, attention, target)
        return _with_markers(output, scored.context.get("marker_attention"))


def compose(
    aggregator: MILModel, *, fusion: nn.Module | None = None, encoder: nn.Module | None = None
) -> MILModel:
    """Put a fusion and an encoder before an aggregator; an attention model stays one."""
    if isinstance(aggregator, AttentionMIL):
        return ComposedAttention(aggregator, fusion=fusion, encoder=encoder)
    return Composed(aggregator, fusion=fusion, encoder=encoder)


def _kept(context: Mapping[str, Tensor], marker_attention: Tensor | None) -> Mapping[str, Tensor]:
    return (
        context if marker_attention is None else {**context, "marker_attention": marker_attention}
    )


def _with_markers(output: MILOutput, marker_attention: Tensor | None) -> MILOutput:
    if marker_attention is None:
        return output
    return replace(output, marker_attention=marker_attention)
