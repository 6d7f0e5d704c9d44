"""What is known about a backbone before anything is loaded: its card, and the names for it."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from wsi_tools.errors import InputError
from wsi_tools.registry import Registry

__all__ = ["BACKBONES", "SCHEMES", "Card", "feature_key", "find_card", "name_of_key"]

SCHEMES = ("timm", "torchvision", "hf-hub", "local-dir")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Card:
    """One backbone as data: where it comes from, what it takes and what it gives.

    A card named by an open prefix (``timm:NAME`` and the like) knows its source alone; what is
    `None` or empty here is read from the model's own configuration when it is built.
    """

    name: str
    source: str  # "timm:NAME", "torchvision:NAME", "hf-hub:ORG/NAME[@REVISION]", "local-dir:PATH"
    width: int | None = None  # values per tile
    px: int | None = None  # side of the square input; a tile of another size is resized to it
    mpp: tuple[float, float] | None = None  # µm/px it was made for, lowest and highest; enforced
    mean: tuple[float, ...] | None = None  # per channel, of pixels scaled to 0…1
    std: tuple[float, ...] | None = None
    interpolation: str | None = None  # "bilinear" or "bicubic", antialiased as Pillow does
    pooling: str = "as its configuration says"
    stage: int | None = None  # index of the last residual stage kept; None keeps them all
    architecture: str | None = None  # timm's name, where the source is a repository of weights
    arguments: Mapping[str, Any] = field(default_factory=dict)  # for timm.create_model
    builder: str | None = None  # "module:function" giving the network without weights; plug-ins
    revision: str | None = None  # commit of the repository; None takes the hub's main branch
    licence: str | None = None
    gated: bool = False
    page: str | None = None  # where its licence is read and accepted
    paper: str | None = None

    @property
    def scheme(self) -> str:
        """One of `SCHEMES`."""
        return self.source.partition(":")[0]

    @property
    def reference(self) -> str:
        """What follows the scheme: a model's name, a repository without revision, or a path."""
        reference = self.source.partition(":")[2]
        return reference.partition("@")[0] if self.scheme == "hf-hub" else reference


RESNET50 = Card(
    name="resnet50",
    # The V1 weights: those CLAM and TRIDENT use, so that features compare with published ones.
    source="timm:resnet50.tv_in1k",
    width=1024,
    px=224,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    interpolation="bilinear",
    pooling="global average of the third residual stage",
    stage=3,
    licence="BSD-3-Clause",
    page="https://huggingface.co/timm/resnet50.tv_in1k",
    paper="https://arxiv.org/abs/1512.03385",
)

RESNET50_FULL = Card(
    name="resnet50-full",
    source=RESNET50.source,
    width=2048,
    px=224,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    interpolation="bilinear",
    pooling="global average of the last residual stage",
    licence=RESNET50.licence,
    page=RESNET50.page,
    paper=RESNET50.paper,
)

UNI = Card(
    name="uni",
    source="hf-hub:MahmoodLab/UNI",
    width=1024,
    px=224,
    mpp=(0.45, 0.55),  # trained at 20×; scanners' 20× lies between 0.45 and 0.55 µm/px
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    interpolation="bilinear",
    pooling="class token",
    architecture="vit_large_patch16_224",
    arguments={"img_size": 224, "patch_size": 16, "init_values": 1e-5, "dynamic_img_size": True},
    licence="CC-BY-NC-ND-4.0",
    gated=True,
    page="https://huggingface.co/MahmoodLab/UNI",
    paper="https://doi.org/10.1038/s41591-024-02857-3",
)

BACKBONES = Registry(
    "wsi_tools.backbones",
    {
        "resnet50": "wsi_tools.embedding.cards:RESNET50",
        "resnet50-full": "wsi_tools.embedding.cards:RESNET50_FULL",
        "uni": "wsi_tools.embedding.cards:UNI",
    },
)


def find_card(name: str) -> Card:
    """The card of a registered name, or of a name that opens with one of `SCHEMES` and a colon.

    Raises:
        InputError: the name is unknown, empty after its prefix, or a bare ``ORG/NAME``.
    """
    if name in BACKBONES:
        card: Card = BACKBONES[name]
        return card
    scheme, colon, reference = name.partition(":")
    if not colon:
        raise _unknown(name)
    if scheme not in SCHEMES:
        raise InputError(f"{name}: {scheme}: is no source; choose from {_spelt(SCHEMES)}")
    return _open_card(name, scheme, reference)


def _open_card(name: str, scheme: str, reference: str) -> Card:
    if not reference:
        raise InputError(f"{name}: nothing follows the colon; name a model, repository or folder")
    if scheme == "hf-hub":
        return _hub_card(name, reference)
    return Card(name=name, source=name)


def _hub_card(name: str, reference: str) -> Card:
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", reference, re.ASCII)
    if match is None:
        raise InputError(f"{name}: a repository is written hf-hub:ORG/NAME or hf-hub:ORG/NAME@REV")
    page = f"https://huggingface.co/{match[1]}"
    return Card(name=name, source=name, revision=match[2], page=page)


def _unknown(name: str) -> InputError:
    if "/" in name:
        return InputError(f"{name}: say where it is: hf-hub:{name} or local-dir:{name}")
    known = ", ".join(BACKBONES)
    return InputError(f"{name}: no such backbone; choose from {known}, or write timm:{name}")


def _spelt(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}:" for scheme in schemes)


# ":" and "/" become characters that file systems, shells and addresses leave alone; every other
# unusual character, those two among them, is spelt "~" and its bytes in hexadecimal.
_READABLE = {":": "=", "/": "+"}
_PLAIN = string.ascii_letters + string.digits + "-._"
_LONGEST_KEY = 200  # bytes; file systems stop at 255 and a store adds ".", ".part" and "@PANEL"


def feature_key(name: str, panel: str = "") -> str:
    """The name of a backbone's array in a store: ``hf-hub:ORG/NAME`` is ``hf-hub=ORG+NAME``.

    A name of letters, digits, ``-``, ``.`` and ``_`` stays as it is. `name_of_key` reverses it.
    Features of markers have ``@`` and the panel behind it.

    Raises:
        InputError: the key would be too long for a file system.
    """
    key = "".join(_READABLE.get(character) or _escaped(character) for character in name)
    if len(key) > _LONGEST_KEY:
        raise InputError(
            f"{name}: too long to name an array after; link the folder to a short path"
        )
    return f"{key}@{panel}" if panel else key


def name_of_key(key: str) -> str:
    """The name of the backbone that `feature_key` wrote as this key; a panel's ``@`` ends it."""
    key = key.partition("@")[0]
    for character, sign in _READABLE.items():
        key = key.replace(sign, character)
    return unquote(key.replace("~", "%"))


def _escaped(character: str) -> str:
    if character in _PLAIN:
        return character
    if character == "~":  # quote() holds it for safe, but it is our escape
        return "~7E"
    return quote(character, safe="").replace("%", "~")
