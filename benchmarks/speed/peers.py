"""Rows beside other packages, each in an environment of its own that is made on the way.

An environment sees the packages of this one, so that both sides compute with the same torch; what
its package wants in another version it gets for itself.
"""

import json
import subprocess
import sysconfig
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from speed.row import Bench, Measured, Row, UnmeasuredError
from speed.segmenting import our_segmentation
from speed.timing import Contender, Sample, in_turns, timed
from speed.training import OurStep
from wsi_tools.execution import available_cores

__all__ = ["ROWS"]

SCRIPTS = Path(__file__).with_name("beside")
PATIENCE_S = 600  # for an installation

Peer = Callable[[], Sample]


def environment(folder: Path, package: str) -> Path:
    """The interpreter of an environment with this package, made if it is not there.

    Raises:
        UnmeasuredError: it cannot be installed.
    """
    place = folder / f"env-{package}"
    python = place / "bin" / "python"
    if not (place / "done").exists():
        venv.create(place, clear=True, symlinks=True)
        here = sysconfig.get_path("purelib")
        theirs = sysconfig.get_path("purelib", vars={"base": str(place)})
        Path(theirs, "also_here.pth").write_text(f"{here}\n")
        _install(python, package)
        (place / "done").touch()
    return python


def _install(python: Path, package: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise UnmeasuredError(f"{package} was not installed within {PATIENCE_S} s") from None
    if done.returncode:
        raise UnmeasuredError(f"{package} cannot be installed ({_last_line(done.stderr)})")


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason given"


@contextmanager
def running(python: Path, script: str, arguments: Sequence[object]) -> Iterator[Peer]:
    """A script of `beside` that waits to be asked.

    Raises:
        UnmeasuredError: it ends before it has answered.
    """
    command = [str(python), "-W", "ignore", str(SCRIPTS / script), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdin
        assert process.stdout
        questions, answers = process.stdin, process.stdout

        def heard() -> str:
            line = answers.readline()
            while line and not line.startswith(("\n", "{")):  # what the package prints
                line = answers.readline()
            if not line:
                raise UnmeasuredError(f"{script} ended with {process.wait()}")
            return line

        def asked() -> Sample:
            print(file=questions, flush=True)
            took: Sample = json.loads(heard())
            return took

        heard()
        yield asked
        questions.close()


def _compare(bench: Bench, ours: Contender, theirs: Peer, amount: str) -> Measured:
    if bench.size.warm:
        timed(ours)
        theirs()
    pairs = in_turns(lambda: timed(ours), theirs, bench.size.repeats, bench.size.least_s)
    return Measured(tuple(pairs), (), amount)


def beside_torchmil(bench: Bench) -> Measured:
    """A training step, beside torchmil's."""
    tiles, width, threads = bench.size.step_tiles[0], bench.size.width, available_cores()
    torch.set_num_threads(threads)
    stored = torch.randn(tiles, width).half()
    python = environment(bench.folder, "torchmil")
    with running(python, "torchmil_step.py", (tiles, width, threads)) as theirs:
        amount = f"{tiles:,} tiles × {width}"
        return _compare(bench, lambda stack: OurStep(stored, "bf16"), theirs, amount)


def beside_lazyslide(bench: Bench) -> Measured:
    """Segmentation of the large slide, beside LazySlide's."""
    path, python = bench.slides.scan(bench.size.large), environment(bench.folder, "lazyslide")
    with running(python, "lazyslide_tissue.py", (path.resolve(),)) as theirs:
        width, height = bench.size.large.size_px
        amount = f"a slide of {width:,} × {height:,} px"
        return _compare(bench, our_segmentation(path), theirs, amount)


ROWS = (
    Row("peer-torchmil", "ABMIL step in bf16", "torchmil, fp32", 3, 4.5, beside_torchmil),
    Row("peer-lazyslide", "segment a large slide, warm", "LazySlide", 4, 8, beside_lazyslide),
)
