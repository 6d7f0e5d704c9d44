"""From a model's name and its parameters to the model."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wsi_tools.errors import InputError
from wsi_tools.mil import ENCODERS, FUSIONS, MODELS, STABILIZERS
from wsi_tools.mil.bag import AttentionMIL, MILModel
from wsi_tools.mil.cards import CARDS, Card
from wsi_tools.mil.composition import ComposedAttention, compose
from wsi_tools.mil.stabilizer import Stabilized

__all__ = ["card", "create_model", "parameters"]

_FROM_DATA = ("in_dim", "n_out", "tables", "build")  # known from the bags, never set by name
_PARTS = {"encoder": ENCODERS, "channel_fusion": FUSIONS, "stabilize": STABILIZERS}


def card(name: str) -> Card:
    """The card of a built-in or plugged-in model."""
    found: Card = CARDS[name] if name in CARDS else MODELS[name].card
    return found


def parameters(
    name: str,
    *,
    encoder: str | None = None,
    channel_fusion: str | None = None,
    stabilize: str | None = None,
) -> dict[str, Any]:
    """Every parameter of a composition with its default; None where one must be given.

    A part's parameters carry its prefix: ``encoder.blocks``, ``channel_fusion.markers``,
    ``stabilize.beta``.
    """
    chosen = {"encoder": encoder, "channel_fusion": channel_fusion, "stabilize": stabilize}
    found = _defaults(MODELS[name])
    for part, option in chosen.items():
        if option is not None:
            settings = _defaults(_PARTS[part][option])
            found |= {f"{part}.{key}": default for key, default in settings.items()}
    return found


def create_model(  # noqa: PLR0913 - a composition has these parts
    name: str,
    in_dim: int,
    n_out: int,
    *,
    encoder: str | None = None,
    channel_fusion: str | None = None,
    stabilize: str | None = None,
    tables: tuple[int, ...] = (),
    **settings: Any,
) -> MILModel:
    """Make a model: fuse -> encode -> aggregate -> stabilise, each part by name.

    Args:
        name: the aggregator or preset, a name in `MODELS`.
        in_dim: feature width D, per marker where there are markers.
        n_out: number of logits.
        encoder: what lets the tiles see each other first, a name in `ENCODERS`.
        channel_fusion: what makes one vector of a tile's markers, a name in `FUSIONS`.
        stabilize: what steadies the attention, a name in `STABILIZERS`.
        tables: number of columns of each clinical table, for models that read a record.
        **settings: parameters of the model, and of a part under its prefix
            (``**{"encoder.blocks": 2}``); `parameters` lists them.

    Raises:
        InputError: an unknown name or parameter, or parts that do not fit together.
    """
    chosen = {"encoder": encoder, "channel_fusion": channel_fusion, "stabilize": stabilize}
    _refuse_unknown(name, settings, parameters(name, **chosen))
    own = {key: value for key, value in settings.items() if "." not in key}
    parts = {part: _Part.of(part, option, settings) for part, option in chosen.items() if option}
    plan = _Plan(name, in_dim, n_out, own | _record(name, tables), parts)
    return plan.stabilized() if stabilize else plan.composed()


@dataclass(frozen=True)
class _Part:
    """One part of a composition: its class and what the user set."""

    kind: Any
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, part: str, option: str, settings: Mapping[str, Any]) -> "_Part":
        prefix = f"{part}."
        own = {
            key.removeprefix(prefix): settings[key] for key in settings if key.startswith(prefix)
        }
        return cls(_PARTS[part][option], own)

    def make(self, *inputs: Any) -> Any:
        return self.kind(*inputs, **self.settings)


@dataclass(frozen=True)
class _Plan:
    """A composition whose names and parameters were checked."""

    name: str
    in_dim: int
    n_out: int
    settings: Mapping[str, Any]
    parts: Mapping[str, _Part]

    def composed(self) -> MILModel:
        """Fusion, encoder and aggregator, with fresh weights."""
        width, before = self.in_dim, {}
        for part, role in (("channel_fusion", "fusion"), ("encoder", "encoder")):
            if part in self.parts:
                before[role] = self.parts[part].make(width)
                width = before[role].out_dim
        model: MILModel = MODELS[self.name](width, self.n_out, **self.settings)
        if not before:
            return model
        self._refuse_second_fusion(model)
        if isinstance(model, Stabilized):
            return model.wrapped(lambda inner: ComposedAttention(inner, **before))
        return compose(model, **before)

    def attention(self) -> AttentionMIL:
        """The same, for the stabiliser."""
        model = self.composed()
        if isinstance(model, AttentionMIL):
            return model
        known = ", ".join(name for name, found in CARDS.items() if found.stabilizes)
        raise InputError(
            f"{self.name}: pools by no softmax of scores over tiles; choose from {known}"
        )

    def stabilized(self) -> MILModel:
        """The composition with its stabiliser around it."""
        stabilized: MILModel = self.parts["stabilize"].make(self.attention)
        return stabilized

    def _refuse_second_fusion(self, model: MILModel) -> None:
        if model.takes_markers:
            raise InputError(
                f"{self.name}: fuses the markers itself, so nothing can stand before it; write "
                "gated-abmil with --channel-fusion fluoroformer and the parts you want"
            )


def _defaults(kind: Any) -> dict[str, Any]:
    settable = inspect.signature(kind).parameters.values()
    return {
        setting.name: None if setting.default is setting.empty else setting.default
        for setting in settable
        if setting.name not in _FROM_DATA
    }


def _refuse_unknown(name: str, settings: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(settings) - set(known)):
        names = ", ".join(known) or "none"
        raise InputError(f"{name}: no parameter {unknown[0]!r} in this composition; known: {names}")


def _record(name: str, tables: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    reads = "clinical" in card(name).needs
    if reads and not tables:
        raise InputError(f"{name}: needs a clinical record; name its columns with --table NAME=a,b")
    if tables and not reads:
        raise InputError(f"{name}: reads no clinical record; choose persam, or leave --table out")
    return {"tables": tables} if reads else {}
