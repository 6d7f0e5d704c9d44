"""Rows of embedding: from a slide's tiles to features in a store, beside the recipe of others."""

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision import transforms

from speed.networks import plain_network, settled_weights
from speed.reading import openslide_tiles, some_tiles
from speed.row import Bench, Fact, Measured, Row, UnmeasuredError
from speed.stores import begun, request
from speed.timing import Contender, alternate
from wsi_tools.embedding import Column, EmbedOptions, fill
from wsi_tools.embedding.backbones import Backbone, load_backbone, resized_for
from wsi_tools.embedding.devices import computing_in
from wsi_tools.embedding.lanes import Lanes
from wsi_tools.embedding.pace import Pace
from wsi_tools.execution import available_cores
from wsi_tools.slide import open_slide
from wsi_tools.store import Project
from wsi_tools.tiling import TileGrid, TileSpec

__all__ = ["ROWS", "Embedding"]

THEIR_BATCH = 32
LEAST_COSINE = {"fp32": 0.99999, "bf16": 0.9995}


@dataclass(frozen=True)
class Embedding:
    """A slide's tiles and one backbone.

    Attributes:
        bench: what is measured on.
        name: of the backbone.
        precision: that it computes in.
        device: where.
        engine: of the network.
    """

    bench: Bench
    name: str
    precision: str
    device: str = "cpu"
    engine: str = "torch"

    @cached_property
    def slide(self) -> Path:
        """At 20×, read as it is stored."""
        return self.bench.slides.scan(self.bench.size.fine)

    @cached_property
    def grid(self) -> TileGrid:
        """Tiles of 256 px, full of tissue."""
        spec = TileSpec(px=256, mpp=self.bench.size.fine.mpp)
        return some_tiles(self.slide, spec, self.bench.size.embed_tiles)

    @cached_property
    def weights(self) -> Path:
        """Random ones, settled on this slide."""
        random = load_backbone(self.name, weights="random:0")
        with ExitStack() as stack:
            tiles = list(openslide_tiles(self.slide, self.grid, stack))[:THEIR_BATCH]
        pictures = random.transform(torch.from_numpy(np.stack(tiles)))
        return settled_weights(self.bench.folder, self.name, pictures)

    @cached_property
    def backbone(self) -> Backbone:
        """As `embed` loads it."""
        return load_backbone(
            self.name,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            engine=self.engine,
        )

    @cached_property
    def options(self) -> EmbedOptions:
        """As `embed` chooses them."""
        pace = Pace.of([self.backbone], self.grid.spec.px)
        return EmbedOptions(
            batch_size=pace.batch,
            readers=available_cores(),
            most_unread=0,
            develop=resized_for([self.backbone]),
            lanes=pace.lanes,
            begin_lane=pace.begin,
        )

    def ours(self, stack: ExitStack) -> Callable[[], NDArray[np.float16]]:
        """Fill a set of features in a fresh store; slide and store are open before."""
        slide = stack.enter_context(open_slide(self.slide))
        project = Project(self.bench.folder / f"project-{uuid4().hex}")
        stack.callback(shutil.rmtree, project.path)
        writer = stack.enter_context(begun(project, "slide", slide.info, self.grid))
        features = writer.features(self.grid.spec.key, "net", request("net"))
        features.open((len(self.grid), self.backbone.width), "float16")

        def work() -> NDArray[np.float16]:
            column = Column(self.backbone, features)
            wanted = np.ones(len(self.grid), bool)
            fill(slide, self.grid, [column], wanted=wanted, options=self.options, report=_silent)
            features.commit({})
            return np.asarray(writer.store.features(self.grid.spec.key, "net")[...])

        return work

    def forward(self, stack: ExitStack) -> Callable[[], object]:
        """The network alone, on pictures that are there: as many, as many at a time."""
        options, backbone = self.options, self.backbone
        batches = -(-len(self.grid) // options.batch_size)
        shape = (options.batch_size, *[backbone.transform.px] * 2, 3)
        tiles = torch.randint(0, 256, shape, dtype=torch.uint8, device=self.device)
        pictures = backbone.transform(tiles)
        lanes = stack.enter_context(
            Lanes(options.lanes, partial(options.begin_lane, options.lanes))
        )

        @torch.inference_mode()
        def alone(_: int) -> float:
            with computing_in(backbone.dtype, backbone.device):
                return float(backbone.module(pictures)[0, 0])  # waits for a GPU

        return lambda: deque(lanes.each(alone, range(batches)), maxlen=0)

    def theirs(self, stack: ExitStack) -> Callable[[], Tensor]:
        """OpenSlide, torchvision's transforms on Pillow's pictures, eager float32 in NCHW."""
        network = plain_network(self.name, self.weights)
        tiles, told = openslide_tiles(self.slide, self.grid, stack), self.backbone.transform
        transform = transforms.Compose(
            [
                transforms.Resize(told.px, transforms.InterpolationMode(told.interpolation)),
                transforms.ToTensor(),
                transforms.Normalize(told.mean, told.std),
            ]
        )

        @torch.inference_mode()
        def work() -> Tensor:
            pictures = map(transform, tiles)
            return torch.cat([network(batch) for batch in _batches(pictures)])

        return work

    def agreement(self) -> tuple[Fact, ...]:
        """Least cosine between our features and theirs, as they are and about their mean."""
        with ExitStack() as stack:
            ours = torch.from_numpy(self.ours(stack)()).float()
            theirs = self.theirs(stack)()
        cosine = float(functional.cosine_similarity(ours, theirs).min())
        mean = theirs.mean(dim=0)
        centred = float(functional.cosine_similarity(ours - mean, theirs - mean).min())
        least = LEAST_COSINE[self.precision]
        return (
            Fact("cosine", cosine >= least, cosine),
            Fact("cosine about the mean", centred > 0, centred),
        )

    def compare(self, ours: Contender, beside: Contender, *facts: Fact) -> Measured:
        """Time two contenders."""
        size = self.bench.size
        pairs = alternate(ours, beside, size=size)
        detail = f"{self.name}, {self.precision}, {self.engine}"
        return Measured(pairs, facts, f"{len(self.grid):,} tiles", detail)


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _batches(pictures: Iterator[Tensor]) -> Iterator[Tensor]:
    batch: list[Tensor] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == THEIR_BATCH:
            yield torch.stack(batch)
            batch.clear()
    if batch:
        yield torch.stack(batch)


def _cpu(bench: Bench, precision: str, engine: str = "torch") -> Embedding:
    torch.set_num_threads(available_cores())
    return Embedding(bench, bench.size.backbone, precision, engine=engine)


def fed_in_fp32(bench: Bench) -> Measured:
    """How close a float32 network comes to never waiting."""
    embedding = _cpu(bench, "fp32")
    return embedding.compare(embedding.ours, embedding.forward)


def fed_in_bf16(bench: Bench) -> Measured:
    """The same with a network that is faster."""
    embedding = _cpu(bench, "bf16")
    return embedding.compare(embedding.ours, embedding.forward)


def in_fp32(bench: Bench) -> Measured:
    """Float32, beside the recipe of other programs."""
    embedding = _cpu(bench, "fp32")
    return embedding.compare(embedding.ours, embedding.theirs, *embedding.agreement())


def in_bf16(bench: Bench) -> Measured:
    """Bfloat16 on the faster of the engines that are here, beside the same."""
    embedding = _cpu(bench, "bf16", "openvino" if _has_openvino() else "torch")
    return embedding.compare(embedding.ours, embedding.theirs, *embedding.agreement())


def in_openvino(bench: Bench) -> Measured:
    """OpenVINO, beside the same."""
    if not _has_openvino():
        raise UnmeasuredError("openvino is not installed")
    embedding = _cpu(bench, "fp32", "openvino")
    return embedding.compare(embedding.ours, embedding.theirs, *embedding.agreement())


def _has_openvino() -> bool:
    return find_spec("openvino") is not None


def fed_on_a_gpu(bench: Bench) -> Measured:
    """How close a GPU comes to never waiting for a JPEG slide."""
    if not torch.cuda.is_available():
        raise UnmeasuredError("there is no GPU here")
    embedding = Embedding(bench, bench.size.gpu_backbone, "bf16", "cuda")
    return embedding.compare(embedding.ours, embedding.forward)


RECIPE = "OpenSlide → Pillow transform → eager NCHW fp32"
ITSELF = "its own forward pass alone"
ROWS = (
    Row("feed", "embed end to end, fp32", ITSELF, 0.95, 0.99, fed_in_fp32),
    Row("feed-bf16", "embed end to end, bf16", ITSELF, 0.95, 0.99, fed_in_bf16),
    Row("embed", "embed, torch fp32", RECIPE, 2, 2.5, in_fp32),
    Row("embed-openvino", "embed, OpenVINO fp32", RECIPE, 3, 4, in_openvino),
    Row("embed-bf16", "embed, bf16", RECIPE, 5.5, 8, in_bf16),
    Row("feed-gpu", "embed on a GPU, ViT-L/16, bf16", ITSELF, 0.9, 0.97, fed_on_a_gpu),
)
