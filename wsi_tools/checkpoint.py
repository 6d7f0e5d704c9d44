"""A trained model on disk: weights as safetensors, and the JSON that rebuilds and explains it.

    model.safetensors   the weights of the chosen epoch
    model.json          everything else, the SHA-256 of the weights and of itself included

No pickle. A model.json that was edited, or that belongs to other weights, is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from wsi_tools.cohort import Scaler
from wsi_tools.errors import DataError
from wsi_tools.metrics.reference import Reference
from wsi_tools.mil import MILModel, create_model
from wsi_tools.store.files import write_atomically
from wsi_tools.store.records import library_versions
from wsi_tools.store.requests import fingerprint, json_ready
from wsi_tools.tasks import AnyTask, task_from_json, task_to_json

__all__ = ["JSON_NAME", "WEIGHTS_NAME", "Checkpoint", "Composition", "Origin", "Reads"]

FORMAT = 1
WEIGHTS_NAME = "model.safetensors"
JSON_NAME = "model.json"


@dataclass(frozen=True)
class Composition:
    """Which model: its name, the parts around it, and their parameters."""

    name: str
    encoder: str | None = None
    channel_fusion: str | None = None
    stabilize: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self, in_dim: int, n_out: int, tables: tuple[int, ...] = ()) -> MILModel:
        """The model with fresh weights; see `create_model`."""
        return create_model(
            self.name,
            in_dim,
            n_out,
            encoder=self.encoder,
            channel_fusion=self.channel_fusion,
            stabilize=self.stabilize,
            tables=tables,
            **self.settings,
        )


@dataclass(frozen=True)
class Reads:
    """What the model reads, and how it comes to be.

    Attributes:
        level: a case is a ``slide`` or a ``patient``.
        features: ``<grid>/<backbone>`` in a store.
        min_tissue: least share of tissue in a tile.
        identity: what features must agree with: geometry, encoder, markers, shape.
        scalers: of the clinical tables, fitted on the training fold.
        covariates: the tables are appended to every tile, for a model that reads no record.
        bag_tiles: largest random part that is read at once; None reads bags whole.
        recipe: what prepares such features from a slide.
    """

    level: str
    features: str
    min_tissue: float
    identity: Mapping[str, Any]
    scalers: tuple[Scaler, ...] = ()
    covariates: bool = False
    bag_tiles: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Values per tile, or per marker of one, as the model sees them."""
        appended = sum(scaler.width for scaler in self.scalers) if self.covariates else 0
        return int(self.identity["values"][-1]) + appended

    @property
    def tables(self) -> tuple[int, ...]:
        """Columns of each clinical table that the model reads as a record."""
        return () if self.covariates else tuple(scaler.width for scaler in self.scalers)

    @property
    def columns(self) -> tuple[str, ...]:
        """The clinical columns that must be known of a case."""
        return tuple(column.column for scaler in self.scalers for column in scaler.columns)


@dataclass(frozen=True)
class Origin:
    """Where a model comes from; nothing of it is needed to use the model.

    Attributes:
        target: the columns it was taught.
        repeat: of the split.
        fold: of the split.
        seed: of weights and order.
        epoch: the one that was kept, from 0.
        epochs: how many there were.
        val_loss: of the one that was kept.
        training: the recipe, value by value.
    """

    target: tuple[str, ...]
    repeat: int
    fold: int
    seed: int
    epoch: int
    epochs: int
    val_loss: float | None
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and all that is needed to use it.

    Attributes:
        composition: which model.
        task: what its logits mean: label map, bins, prior shift, baseline.
        reads: what it reads.
        origin: where it comes from.
        weights: by name.
        reference: what evaluation takes from the training fold, and the operating threshold that
            was chosen on validation.
    """

    composition: Composition
    task: AnyTask
    reads: Reads
    origin: Origin
    weights: Mapping[str, Tensor] = field(repr=False)
    reference: Reference = field(default_factory=Reference)

    def model(self) -> MILModel:
        """The model with its weights, in evaluation mode, on the CPU.

        Raises:
            DataError: the weights do not fit the model.
        """
        model = self.composition.build(self.reads.width, self.task.width, self.reads.tables)
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError:
            raise DataError(
                f"{WEIGHTS_NAME}: the weights do not fit {self.composition.name} as {JSON_NAME} "
                "describes it; they are of another version of wsitools"
            ) from None
        return model.eval()

    def save(self, folder: Path) -> None:
        """Write both files; what is there is replaced only when both are on the disk.

        Raises:
            OSError: the disk is full or read-only; what was there is unharmed.
        """
        weights = save({name: value.contiguous() for name, value in self.weights.items()})
        record = json_ready(
            {
                "format": FORMAT,
                "composition": asdict(self.composition),
                "task": task_to_json(self.task),
                "reads": asdict(self.reads),
                "origin": asdict(self.origin),
                "reference": self.reference.as_json(),
                "libraries": library_versions(),
                "weights": hashlib.sha256(weights).hexdigest(),
            }
        )
        text = json.dumps({**record, "digest": fingerprint(record)}, indent=1)
        folder.mkdir(parents=True, exist_ok=True)
        waiting = folder / f".{JSON_NAME}.next"
        try:
            write_atomically(waiting, text.encode())
            write_atomically(folder / WEIGHTS_NAME, weights)
            waiting.replace(folder / JSON_NAME)
        finally:
            waiting.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Read both files.

        Raises:
            DataError: one is missing, torn, edited, or not of the other.
        """
        record, content = _read_json(folder / JSON_NAME), _read(folder / WEIGHTS_NAME)
        if hashlib.sha256(content).hexdigest() != record["weights"]:
            raise DataError(
                f"{folder / WEIGHTS_NAME}: not the weights that {JSON_NAME} was written with; "
                "train the fold again with --overwrite, or take the original files"
            )
        try:
            weights = load(content)
        except SafetensorError as error:
            raise DataError(f"{folder / WEIGHTS_NAME}: cannot be read: {error}") from None
        return cls(
            composition=_parsed(Composition, record, folder),
            task=task_from_json(record["task"]),
            reads=_parsed(Reads, record, folder),
            origin=_parsed(Origin, record, folder),
            weights=weights,
            reference=Reference.from_json(record["reference"]),
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; name a run, or a fold of one, that wsitools train has ended"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    """The record, whole and as it was written."""
    content = _read(path)
    try:
        record = json.loads(content)
        digest = record.pop("digest")
    except (ValueError, AttributeError, KeyError):
        raise DataError(f"{path}: torn, or not a model of wsitools; train it again") from None
    if fingerprint(record) != digest:
        raise DataError(
            f"{path}: was edited after training; take the original, or train the fold again with "
            "--overwrite"
        )
    if record["format"] != FORMAT:
        raise DataError(f"{path}: format {record['format']}; this version reads {FORMAT}")
    return dict(record)


def _parsed(kind: Any, record: Mapping[str, Any], folder: Path) -> Any:
    """The part of the record that describes one of our values."""
    name = kind.__name__.lower()
    try:
        return TypeAdapter(kind).validate_python(record[name])
    except (KeyError, ValidationError) as error:
        raise DataError(
            f"{folder / JSON_NAME}: {name} is not understood ({_where(error)}); it is of another "
            "version of wsitools"
        ) from None


def _where(error: KeyError | ValidationError) -> str:
    if isinstance(error, KeyError):
        return f"no {error}"
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
