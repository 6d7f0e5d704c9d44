"""What each built-in model is, as data that needs no torch: paper, licence, attention, tasks."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CARDS", "TASKS", "Card", "Need", "Rows", "Task"]

Task = Literal["classification", "multilabel", "regression", "survival"]
Rows = Literal["bag", "classes", "tokens"]
Need = Literal["markers", "clinical"]

TASKS: tuple[Task, ...] = ("classification", "multilabel", "regression", "survival")
_OURS = "Apache-2.0; written from the paper"


@dataclass(frozen=True)
class Card:
    """One model as `wsitools models` shows it and as the contract tests read it.

    Attributes:
        name: what the user types.
        summary: one sentence.
        paper: authors, title, venue, identifier.
        licence: of this implementation, and what the authors' own release says.
        attention: what the display attention of a tile is.
        rows: what its rows stand for: the whole ``bag`` (one row), the ``classes`` (one row per
            output) or the model's ``tokens``.
        sums_to_one: whether every row of the display attention sums to one over the tiles.
        tasks: the tasks for which the model makes sense.
        needs: what the bag must hold besides one vector per tile.
        reads_order: the logits depend on the order of the tiles.
        groups_at_random: the logits depend on a random grouping of the tiles.
        ignores_duplicates: a bag that holds every tile twice has the same logits.
        stabilizes: scores tiles and pools by their softmax, so that the stabiliser can wrap it.
    """

    name: str
    summary: str
    paper: str
    licence: str
    attention: str
    rows: Rows = "bag"
    sums_to_one: bool = True
    tasks: tuple[Task, ...] = TASKS
    needs: tuple[Need, ...] = ()
    reads_order: bool = False
    groups_at_random: bool = False
    ignores_duplicates: bool = True
    stabilizes: bool = True


_ALL = (
    Card(
        name="mean",
        summary="A linear read-out of the mean tile.",
        paper="(none: the baseline every paper compares with)",
        licence="Apache-2.0",
        attention="1/N for every tile",
        stabilizes=False,
    ),
    Card(
        name="max",
        summary="Every tile is scored by a linear layer; the largest score of each output counts.",
        paper="(none: the baseline every paper compares with)",
        licence="Apache-2.0",
        attention="one at the tile that gave the output its logit, zero elsewhere",
        rows="classes",
        stabilizes=False,
    ),
    Card(
        name="abmil",
        summary="A small tanh network scores tiles; their softmax pools the projected tiles.",
        paper="Ilse, Tomczak, Welling: Attention-based Deep Multiple Instance Learning, "
        "ICML 2018, arXiv:1802.04712",
        licence=f"{_OURS} (the release: MIT)",
        attention="softmax over the tiles of the tanh score",
    ),
    Card(
        name="gated-abmil",
        summary="ABMIL whose score is gated by a second, sigmoid branch.",
        paper="Ilse, Tomczak, Welling: Attention-based Deep Multiple Instance Learning, "
        "ICML 2018, arXiv:1802.04712",
        licence=f"{_OURS} (the release: MIT)",
        attention="softmax over the tiles of the gated score",
    ),
    Card(
        name="class-attention",
        summary="Learned class tokens attend to the tiles with several heads (RoFormerMIL's head).",
        paper="Pochet, Maroun, Trullo: RoFormer for Position Aware Multiple Instance Learning in "
        "Whole Slide Image Classification, MLMI 2023, arXiv:2310.01924",
        licence=f"{_OURS} (the release: academic, non-commercial)",
        attention="softmax over the tiles per class token and head, mean over the heads",
        rows="classes",
    ),
    Card(
        name="clam-sb",
        summary="Gated attention with one branch and a clustering loss on the extreme tiles.",
        paper="Lu et al.: Data-efficient and weakly supervised computational pathology on "
        "whole-slide images, Nature Biomedical Engineering 2021, arXiv:2004.09666",
        licence=f"{_OURS} (the release: GPL-3.0)",
        attention="softmax over the tiles of the gated score",
        tasks=("classification",),
    ),
    Card(
        name="clam-mb",
        summary="CLAM with one attention branch and one classifier per class.",
        paper="Lu et al.: Data-efficient and weakly supervised computational pathology on "
        "whole-slide images, Nature Biomedical Engineering 2021, arXiv:2004.09666",
        licence=f"{_OURS} (the release: GPL-3.0)",
        attention="softmax over the tiles of the class's gated score",
        rows="classes",
        tasks=("classification",),
    ),
    Card(
        name="dsmil",
        summary="The critical tile of each class queries all tiles; two streams, two losses.",
        paper="Li, Li, Eliceiri: Dual-stream Multiple Instance Learning Network for Whole Slide "
        "Image Classification with Self-supervised Contrastive Learning, CVPR 2021, "
        "arXiv:2011.08939",
        licence=f"{_OURS} (the release: MIT)",
        attention="softmax over the tiles of the similarity to the class's critical tile",
        rows="classes",
        tasks=("classification", "multilabel"),
    ),
    Card(
        name="transmil",
        summary="Two Nyström attention layers around a convolution on the squared tile sequence.",
        paper="Shao et al.: TransMIL: Transformer based Correlated Multiple Instance Learning for "
        "Whole Slide Image Classification, NeurIPS 2021, arXiv:2106.00908",
        licence=f"{_OURS} (the release has no licence file)",
        attention="class token's row of the second Nyström attention, mean over heads, negative "
        "entries set to zero, divided by its sum",
        reads_order=True,
        ignores_duplicates=False,
        stabilizes=False,
    ),
    Card(
        name="dtfd",
        summary="Random pseudo-bags are pooled first; what they distil is pooled again.",
        paper="Zhang et al.: DTFD-MIL: Double-Tier Feature Distillation Multiple Instance Learning "
        "for Histopathology Whole Slide Image Classification, CVPR 2022, arXiv:2203.12081",
        licence=f"{_OURS} (the release: MIT)",
        attention="second tier's softmax over the distilled features, carried back to the tiles "
        "each was made of",
        tasks=("classification",),
        groups_at_random=True,
        ignores_duplicates=False,
        stabilizes=False,
    ),
    Card(
        name="acmil",
        summary="Several gated attention branches, pushed apart and masked where they peak.",
        paper="Zhang et al.: Attention-Challenging Multiple Instance Learning for Whole Slide "
        "Image Classification, ECCV 2024, arXiv:2311.07125",
        licence=f"{_OURS} (the release has no licence file)",
        attention="softmax over the tiles of each branch's gated score",
        rows="tokens",
        tasks=("classification", "multilabel"),
    ),
    Card(
        name="roformer",
        summary="Exact self-attention with 2-D rotary positions, then class attention.",
        paper="Pochet, Maroun, Trullo: RoFormer for Position Aware Multiple Instance Learning in "
        "Whole Slide Image Classification, MLMI 2023, arXiv:2310.01924",
        licence=f"{_OURS} (the release: academic, non-commercial)",
        attention="the head's: by default class attention over the encoded tiles",
        rows="classes",
    ),
    Card(
        name="fluoroformer",
        summary="Attention among the markers of a tile, then gated attention over the tiles.",
        paper="Harary, Van Allen, Lotter: Fluoroformer: Scaling multiple instance learning to "
        "multiplexed images via attention-based channel fusion, ML4H 2024, arXiv:2411.08975",
        licence=f"{_OURS} (the release: MIT)",
        attention="softmax over the tiles of the gated score of the fused tile",
        needs=("markers",),
    ),
    Card(
        name="persam",
        summary="Tiles, clinical tables and classes attend to each other; the record weighs tiles.",
        paper="Takagi et al.: Transformer-based Personalized Attention Mechanism for Medical "
        "Images with Clinical Records, J Pathol Inform 2023;14:100185, arXiv:2206.03003",
        licence=f"{_OURS} (the release has no licence file)",
        attention="explanatory attention: product of three sigmoids in (0, 1), not normalised",
        rows="classes",
        sums_to_one=False,
        tasks=("classification",),
        needs=("clinical",),
        ignores_duplicates=False,
        stabilizes=False,
    ),
    Card(
        name="asmil",
        summary="Learned tokens attend to the tiles, steadied by a slow copy of themselves.",
        paper="Ye et al.: ASMIL: Attention-Stabilized Multiple Instance Learning for Whole Slide "
        "Imaging, ICLR 2026, arXiv:2603.06658",
        licence=f"{_OURS} (the release has no licence file)",
        attention="softmax over the tiles per token and head, mean over the heads",
        rows="tokens",
        stabilizes=False,
    ),
)

CARDS: dict[str, Card] = {card.name: card for card in _ALL}
