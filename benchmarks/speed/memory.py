"""Rows of memory: what grows with the number of tiles, measured in processes of their own."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import psutil
import torch
from torch.nn import functional

from speed.reading import some_tiles
from speed.row import Bench, Fact, Measured, Row
from speed.sizes import TINY_BACKBONE
from speed.stores import begun
from speed.timing import Sample, in_turns
from wsi_tools.embedding.cards import feature_key
from wsi_tools.execution import available_cores
from wsi_tools.mil import Bag, create_model
from wsi_tools.slide import open_slide
from wsi_tools.store import FeatureStore, Project
from wsi_tools.tiling import TileSpec

__all__ = ["ROWS"]

MIB = 2**20
RESET_PEAK = "5"  # to /proc/self/clear_refs: the peak begins anew (proc(5))
SMALL_TILE = TileSpec(px=48, mpp=0.5)  # of which a large slide has hundreds of thousands
SAMPLING_S = 0.02
SUPERVISOR = "import wsi_tools.cli.embed, wsi_tools.preparation, wsi_tools.execution"
WORKER = f"{SUPERVISOR}, timm, wsi_tools.preparation.features, wsi_tools.embedding.backbones"


def attention_mib(tiles: int, width: int) -> float:
    """What one step of the position-aware transformer adds to this process's memory at its peak."""
    torch.set_num_threads(available_cores())
    torch.manual_seed(0)
    model, steps = create_model("roformer", width, 2), torch.arange(tiles)
    lattice = torch.stack((steps % 256, steps // 256), dim=1)
    bag, label = Bag.of_slide(torch.randn(tiles, width), lattice), torch.tensor(1)
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = _peak_mib()
    output = model(bag, label)
    output.total(functional.cross_entropy(output.logits, label)).backward()
    return _peak_mib() - before


def _peak_mib() -> float:
    """Of this program alone: getrusage also counts what its parent held when it was started."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _apart(tiles: int, width: int) -> Sample:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return {"mib": pool.submit(attention_mib, tiles, width).result()}


def attention(bench: Bench) -> Measured:
    """Exact attention, forward and backward, on twice the tiles."""
    tiles, width = bench.size.attention_tiles, bench.size.width
    pairs = in_turns(
        lambda: _apart(2 * tiles, width), lambda: _apart(tiles, width), bench.size.memory_repeats
    )
    return Measured(tuple(pairs), (), f"{2 * tiles:,} tiles beside {tiles:,}")


def embedding(bench: Bench) -> Measured:
    """The processes of `wsitools embed`, on many tiles beside few."""
    few, many = bench.size.memory_tiles
    imported = _idle_mib(SUPERVISOR) + _idle_mib(WORKER)
    facts = []

    def above_import(tiles: int) -> Sample:
        project = _project(bench, tiles)
        peak = _peak_of_tree([sys.executable, "-m", "wsi_tools", *_embed(project)])
        store = FeatureStore(project / "slide.zarr")
        shape = store.features(SMALL_TILE.key, feature_key(TINY_BACKBONE)).shape
        facts.append(Fact(f"{tiles:,} tiles embedded", shape[0] == tiles))
        shutil.rmtree(project)
        return {"mib": peak - imported}

    repeats = bench.size.memory_repeats
    pairs = tuple(in_turns(lambda: above_import(many), lambda: above_import(few), repeats))
    detail = f"{imported:,.0f} MiB once all is imported"
    return Measured(pairs, tuple(facts), f"{many:,} tiles beside {few:,}", detail)


def _embed(project: Path) -> Sequence[str]:
    backbone = ("--backbone", TINY_BACKBONE, "--weights", "random:0", "--device", "cpu")
    return ("embed", str(project), *backbone)


def _project(bench: Bench, tiles: int) -> Path:
    """A project with one slide and a grid of so many tiles, nothing embedded yet."""
    path = bench.slides.scan(bench.size.large)
    project = Project(bench.folder / f"project-{uuid4().hex}")
    with open_slide(path) as slide:
        grid = some_tiles(path, SMALL_TILE, tiles)
        with begun(project, "slide", slide.info, grid):
            return project.path


def _peak_of_tree(command: Sequence[str]) -> float:
    """The most resident memory of a process and its children at one moment."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        family = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(family))
            time.sleep(SAMPLING_S)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return peak / MIB


def _resident(family: psutil.Process) -> int:
    total = 0
    with suppress(psutil.Error):  # a process that ends while it is looked at
        for each in (family, *family.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_info().rss
    return total


def _idle_mib(imports: str) -> float:
    """What a process holds that has imported these and waits."""
    code = f"{imports}; print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        held: int = psutil.Process(process.pid).memory_info().rss
        process.communicate("\n")
    return held / MIB


ROWS = (
    Row(
        "attention-memory",
        "memory of exact attention, twice the tiles",
        "the tiles once",
        2.2,
        None,
        attention,
        cost=True,
        by="mib",
    ),
    Row(
        "embed-memory",
        "peak memory of `wsitools embed` above import, many tiles",
        "few tiles",
        1.1,
        None,
        embedding,
        cost=True,
        by="mib",
    ),
)
