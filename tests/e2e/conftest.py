"""What the end-to-end tests share: the command as a shell would start it, and slides to give it."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).parent / "plugin"
COMMAND = (sys.executable, str(ROOT / "cli.py"))


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code, the lines of stdout, and stderr."""

    code: int
    out: list[str]
    err: str

    @property
    def rows(self):
        """The lines of stdout as JSON."""
        return [json.loads(line) for line in self.out]


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """A folder to import from, in which a package with plug-ins is installed."""
    folder = tmp_path_factory.mktemp("site")
    for module in PLUGIN.glob("*.py"):
        shutil.copy(module, folder)
    metadata = folder / "trial-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trial\nVersion: 1\n")
    shutil.copy(PLUGIN / "entry_points.txt", metadata)
    return folder


@pytest.fixture(scope="session")
def environment(plugin, tmp_path_factory):
    """No weights in any cache, no hub within reach, and the plug-ins installed."""
    caches = tmp_path_factory.mktemp("caches")
    own = {name: text for name, text in os.environ.items() if not name.startswith("WSITOOLS_")}
    return own | {
        "COLUMNS": "200",
        "HF_ENDPOINT": "http://127.0.0.1:9",  # the discard port: nobody listens
        "HF_HOME": str(caches / "hub"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(plugin),
        "TORCH_HOME": str(caches / "torch"),
    }


@pytest.fixture(scope="session")
def wsitools(environment):
    """Run the command as a shell would, and give what it left."""

    def run(*arguments, stdin="", env=None, cwd=None):
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            env=environment | (env or {}),
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Finished(done.returncode, done.stdout.splitlines(), done.stderr)

    return run


@pytest.fixture(scope="session")
def start(environment):
    """Start the command in a process group of its own, and do not wait."""

    def run(*arguments):
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return run


@pytest.fixture(scope="session")
def svs(test_data):
    """CMU-1-Small-Region: 2220 × 2967 px at 0.499 µm/px, stained skin."""
    return test_data / "slides" / "cmu-1-small-region.svs"


@pytest.fixture(scope="session")
def write_slide():
    """Write pixels as a tiled TIFF of one level that OpenSlide reads; None leaves the scale out."""

    def write(path, pixels, mpp=0.5, **options):
        scale = {} if mpp is None else {"resolution": (1e4 / mpp,) * 2, "resolutionunit": 3}
        kept = {"tile": (256, 256), "photometric": "rgb", **scale, **options}
        tifffile.imwrite(path, np.ascontiguousarray(pixels), **kept)
        return path

    return write


@pytest.fixture(scope="session")
def tissue():
    """(height, width, 3) pixels: a purple square of fine texture on white glass."""
    noise = np.random.default_rng(0).integers(-30, 30, (768, 768, 3))
    pixels = np.full((1024, 1024, 3), 245, np.int64)
    pixels[128:896, 128:896] = np.array([170, 90, 160]) + noise
    return pixels.astype(np.uint8)


@pytest.fixture(scope="session")
def small_slide(write_slide, tissue, tmp_path_factory):
    """That square at 0.5 µm/px."""
    return write_slide(tmp_path_factory.mktemp("slides") / "square.tiff", tissue)


@pytest.fixture(scope="session")
def embedded(wsitools, svs, tmp_path_factory):
    """(project, what the command left): the real slide at 1 µm/px, with random ResNet50."""
    project = tmp_path_factory.mktemp("embedded") / "proj"
    arguments = ("--mpp", "1", "--weights", "random:0", "--dtype", "float32", "--json")
    return project, wsitools("run", svs, "-o", project, *arguments)


@pytest.fixture(scope="session")
def many_tiles(wsitools, svs, tmp_path_factory):
    """(command less its --out, project it made): the real slide in over 4096 tiles of 24 px."""
    spec = ("--tile-size", "24", "--batch-size", "64", "--readers", "1", "--dtype", "float32")
    command = ("run", svs, *spec, "--backbone", "one-layer", "--weights", "random:0")
    project = tmp_path_factory.mktemp("many") / "proj"
    assert wsitools(*command, "-o", project).code == 0
    return command, project


@pytest.fixture(scope="session")
def snapshot():
    """Every file below a folder with its time of change and its bytes."""

    def look(folder):
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in files
        }

    return look


@pytest.fixture
def in_process():
    """Run what needs no worker processes here: twenty times as fast."""
    from typer.testing import CliRunner

    from wsi_tools.cli import app

    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="session")
def mounted():
    """Mount a file system in memory at a place, with options of tmpfs, as a context."""
    return _mounted


@contextmanager
def _mounted(place, options):
    """A file system in memory; whoever may not mount one skips."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
