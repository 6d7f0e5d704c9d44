"""Slides with a bright square of known microns, their stores, and models taught to attend to it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from wsi_tools.checkpoint import Checkpoint, Composition, Origin, Reads
from wsi_tools.cohort import Cohort
from wsi_tools.cohort.bags import open_bags
from wsi_tools.cohort.clinical import Numbers, Scaler
from wsi_tools.cohort.patients import SlideRow
from wsi_tools.mil import CARDS, Bag
from wsi_tools.slide import open_slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.store import FeatureStore, Project, StoreWriter, lease
from wsi_tools.tasks import Classification
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import TissueOptions, segment

SPEC = TileSpec(px=64, mpp=1.0)
SIDE_UM = 512  # of the slide: 8 × 8 tiles
SQUARE_UM = (192, 128, 384, 320)  # left, top, right, bottom: columns 3 to 5, rows 2 to 4
DARK, BRIGHT = (150, 90, 150), (250, 230, 120)
WIDTH, MARKERS, STEPS = 8, ("DAPI", "CD8", "PanCK"), 120
CLASSES = ("dull", "bright")
SMALL = {
    "abmil": {"hidden_dim": 16, "attention_dim": 8},
    "gated-abmil": {"hidden_dim": 16, "attention_dim": 8},
    "clam-sb": {"hidden_dim": 16, "attention_dim": 8, "k_sample": 4},
    "clam-mb": {"hidden_dim": 16, "attention_dim": 8, "k_sample": 4},
    "class-attention": {"hidden_dim": 16, "attention_dim": 8, "heads": 2},
    "transmil": {"dim": 16, "heads": 2},
    "dtfd": {"dim": 16, "attention_dim": 8},
    "acmil": {"dim": 16, "attention_dim": 8, "tokens": 3},
    "roformer": {"dim": 16, "heads": 2, "attention_dim": 8, "attention_heads": 2},
    "fluoroformer": {"hidden_dim": 8},
    "persam": {"dim": 16, "heads": 2, "ffn_dim": 16},
    "asmil": {"dim": 16, "heads": 2, "tokens": 3},
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Two threads on bags this small wait for each other."""
    torch.set_num_threads(1)


def picture(mpp, *, square=True):
    """The slide as pixels of `mpp` µm, (h, w, 3): dark, with the square where it is planted."""
    side = round(SIDE_UM / mpp)
    pixels = np.full((side, side, 3), DARK, np.uint8)
    left, top, right, bottom = (round(edge / mpp) for edge in SQUARE_UM)
    if square:
        pixels[top:bottom, left:right] = BRIGHT
    return pixels


@pytest.fixture(scope="session")
def write_slide():
    """Write such a slide."""

    def write(path, mpp=0.5, *, square=True):
        tags = {"resolution": (1e4 / mpp,) * 2, "resolutionunit": 3}
        pixels = picture(mpp, square=square)
        tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", **tags)
        return path

    return write


def features_of(slide, grid):
    """(N, WIDTH): how bright each tile is, in every number; no model sees anything else."""
    size = (grid.spec.px, grid.spec.px)
    boxes = [read_box(slide, grid.box(row), size, grid.level) for row in range(len(grid))]
    bright = np.array([(box[..., 1].mean() - DARK[1]) / (BRIGHT[1] - DARK[1]) for box in boxes])
    direction = np.linspace(-1, 1, WIDTH) * 2
    return (2 * bright[:, None] - 1) * direction


@pytest.fixture(scope="session")
def write_store():
    """Segment, tile and embed a slide: brightness is what its features are made of."""

    def write(project, slide_id, path, *, spec=SPEC, markers=(), invalid=()):
        with open_slide(path) as slide, lease(Project(project).leases, slide_id) as held:
            tissue = segment(slide, TissueOptions(method="none"))
            grid = tile(slide.info, tissue, spec)
            values = features_of(slide, grid)
            writer = StoreWriter(Project(project).store(slide_id), held, command={"verb": "test"})
            writer.claim(slide.info)
            writer.write_tissue(tissue, {"options": {}})
            writer.write_grid(spec.key, grid, {"spec": {"px": spec.px, "mpp": spec.mpp}})
        if markers:  # the others are the same everywhere
            values = np.stack((values, *(np.ones_like(values) for _ in markers[1:])), axis=1)
        with lease(Project(project).leases, slide_id) as held:
            writer = StoreWriter(Project(project).store(slide_id), held, command={"verb": "test"})
            column = writer.features(spec.key, "bright", REQUEST | {"grid": slide_id})
            column.open(values.shape, "float32")
            column.append(0, values.astype(np.float32))
            column.mark_invalid(np.array(invalid, int))
            column.commit({"markers": list(markers)} if markers else {})
        return Project(project).store(slide_id)

    return write


REQUEST = {
    "backbone": "bright",
    "weights": "none",
    "transform": {},
    "engine": "numpy",
    "precision": "fp32-exact",
    "dtype": "float32",
    "min_tissue": 0.1,
}


def _inside(grid):
    """(N,) bool: which tiles lie whole in the square, by their microns."""
    mpp = grid.spec.px * grid.spec.mpp / grid.level0_px[0]
    left, top = (grid.xy * mpp).T
    side = grid.spec.px * grid.spec.mpp
    edges = (left >= SQUARE_UM[0], top >= SQUARE_UM[1])
    return (
        edges[0] & edges[1] & (left + side <= SQUARE_UM[2] + 1) & (top + side <= SQUARE_UM[3] + 1)
    )


def _cohort_of(project):
    """Every slide of a project, each its own patient, with a clinical record."""
    names = [store.stem for store in Project(project).stores()]
    return Cohort(tuple(SlideRow(name, name, cells={"age": "50"}) for name in names))


@pytest.fixture(scope="session")
def inside():
    """Which tiles of a grid lie in the square, (N,) bool."""
    return _inside


@pytest.fixture(scope="session")
def cohort_of():
    """The cohort of all slides of a project."""
    return _cohort_of


@dataclass(frozen=True)
class Teacher:
    """Teaches a model to attend to the square, and keeps it as a fold of a run."""

    name: str
    project: Path
    steps: int = STEPS

    def teach(self, run: Path, *, fold=0, repeat=0) -> Path:
        card = CARDS[self.name]
        bags = open_bags(self.project, _cohort_of(self.project))
        composition = Composition(self.name, settings=SMALL.get(self.name, {}))
        reads = Reads(
            "slide",
            str(bags.features),
            bags.min_tissue,
            bags.identity,
            (Scaler("person", (Numbers("age", 50.0, 10.0),)),) if "clinical" in card.needs else (),
        )
        task = Classification(CLASSES)
        torch.manual_seed(fold)
        model = composition.build(reads.width, task.width, reads.tables)
        if self.steps and self.name == "max":  # its attention has no gradient
            with torch.no_grad():
                next(model.parameters()).copy_(
                    torch.linspace(-1, 1, WIDTH) * torch.tensor([[-1.0], [1.0]])
                )
        elif self.steps:
            self._attend(model, bags)
        origin = Origin(("label",), repeat, fold, 0, 0, 1, None, {})
        weights = {name: value.detach() for name, value in model.state_dict().items()}
        folder = run / f"fold-{fold}"
        Checkpoint(composition, task, reads, origin, weights).save(folder)
        return folder

    def _attend(self, model, bags):
        """Raise the share of attention in the square, and the logit of the class that has one."""
        case = _cohort_of(self.project).cases()[0]
        grid = FeatureStore(bags.stores[case.case_id]).grid(bags.features.grid)
        planted = torch.from_numpy(_inside(grid)[bags.rows(case.case_id).numpy()])
        bag = bags.bag(case)
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        for step in range(self.steps):
            torch.manual_seed(step)
            given = _recorded(bag, model) if step % 2 else _recorded(_dull(bag), model)
            output = model(given, torch.tensor(step % 2))
            loss = output.total(-output.logits.log_softmax(dim=0)[step % 2])
            if step % 2:
                share = output.attention[:, planted].sum() / output.attention.sum()
                loss = loss - share.clamp(min=1e-6).log()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.after_step()


def _recorded(bag, model):
    record = (torch.zeros(1),) if "clinical" in model.card.needs else ()
    return Bag(bag.features.float(), bag.coords, bag.lattice, bag.segment, record)


def _dull(bag):
    """The bag without a square: every tile is as the first."""
    dull = bag.features[:1].expand_as(bag.features)
    return Bag(dull, bag.coords, bag.lattice, bag.segment)


@pytest.fixture(scope="session")
def teach():
    """The teacher."""
    return Teacher


@pytest.fixture(scope="session")
def planted(write_slide, write_store, tmp_path_factory):
    """(project, project of markers) of one slide at 0.5 µm/px each, called ``square``."""
    folder = tmp_path_factory.mktemp("planted")
    path = write_slide(folder / "square.tiff")
    write_store(folder / "plain", "square", path)
    write_store(folder / "markers", "square", path, markers=MARKERS)
    return folder / "plain", folder / "markers"
