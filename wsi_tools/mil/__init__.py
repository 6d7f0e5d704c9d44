"""MIL models, one bag in and one answer out: their names, their cards, and how to make them.

Importing this package imports no torch; naming a model does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsi_tools.mil.cards import CARDS, Card
from wsi_tools.registry import Registry

if TYPE_CHECKING:
    from wsi_tools.mil.bag import AttentionMIL, Bag, MILModel, MILOutput
    from wsi_tools.mil.creation import card, create_model, parameters

__all__ = [
    "CARDS",
    "ENCODERS",
    "FUSIONS",
    "MODELS",
    "STABILIZERS",
    "AttentionMIL",
    "Bag",
    "Card",
    "MILModel",
    "MILOutput",
    "card",
    "create_model",
    "parameters",
]

MODELS = Registry(
    "wsi_tools.models",
    {
        "mean": "wsi_tools.mil.pooling:MeanMIL",
        "max": "wsi_tools.mil.pooling:MaxMIL",
        "abmil": "wsi_tools.mil.abmil:ABMIL",
        "gated-abmil": "wsi_tools.mil.abmil:GatedABMIL",
        "class-attention": "wsi_tools.mil.class_attention:ClassAttentionMIL",
        "clam-sb": "wsi_tools.mil.clam:ClamSB",
        "clam-mb": "wsi_tools.mil.clam:ClamMB",
        "dsmil": "wsi_tools.mil.dsmil:DSMIL",
        "transmil": "wsi_tools.mil.transmil:TransMIL",
        "dtfd": "wsi_tools.mil.dtfd:DTFDMIL",
        "acmil": "wsi_tools.mil.acmil:ACMIL",
        "roformer": "wsi_tools.mil.roformer:RoFormerMIL",
        "fluoroformer": "wsi_tools.mil.fluoroformer:Fluoroformer",
        "persam": "wsi_tools.mil.persam:PersAM",
        "asmil": "wsi_tools.mil.asmil:ASMIL",
    },
)
"""Name -> `MILModel`; plug-ins are entry points in ``wsi_tools.models``."""

FUSIONS = Registry(
    "wsi_tools.channel_fusions",
    {
        "fluoroformer": "wsi_tools.mil.fluoroformer:MarkerAttention",
        "mean": "wsi_tools.mil.fusion:MeanFusion",
        "concat": "wsi_tools.mil.fusion:ConcatFusion",
    },
)
"""Name -> `composition.Fusion`, from ``(N, M, D)`` markers to one vector per tile."""

ENCODERS = Registry("wsi_tools.encoders", {"roformer": "wsi_tools.mil.roformer:RoFormerEncoder"})
"""Name -> `composition.Encoder`, through which the tiles of a bag see each other."""

STABILIZERS = Registry("wsi_tools.stabilizers", {"asmil": "wsi_tools.mil.stabilizer:Stabilized"})
"""Name -> a model around an `AttentionMIL`, made from a function that builds it."""

_HOMES = {
    "AttentionMIL": "wsi_tools.mil.bag",
    "Bag": "wsi_tools.mil.bag",
    "MILModel": "wsi_tools.mil.bag",
    "MILOutput": "wsi_tools.mil.bag",
    "card": "wsi_tools.mil.creation",
    "create_model": "wsi_tools.mil.creation",
    "parameters": "wsi_tools.mil.creation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
