"""The slides of a run: made once, kept in a folder, and found there by the next run."""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from speed.aperio import compressed, write_aperio
from speed.mosaic import Mosaic, compose
from speed.multiplex import write_multiplex
from speed.sizes import Scan, Size
from speed.texture import tissue

__all__ = ["Slides", "texture_source"]

REAL = "slides/cmu-1-small-region.svs"  # in the folder that WSITOOLS_TEST_DATA names


def texture_source() -> Path | None:
    """A real slide to cut tissue from, where the folder of test data is known."""
    folder = os.environ.get("WSITOOLS_TEST_DATA")
    path = Path(folder, REAL) if folder else None
    return path if path and path.is_file() else None


@dataclass(frozen=True)
class Slides:
    """The slides of one size in a folder.

    Attributes:
        folder: of the files; their names hold everything they depend on.
        size: which slides.
        source: a slide to cut tissue from; None makes it up.
    """

    folder: Path
    size: Size
    source: Path | None

    @property
    def texture(self) -> str:
        """Where the tissue comes from, in a word."""
        return "cut from a real slide" if self.source else "made up"

    def make(self) -> None:
        """Make whatever is missing."""
        for scan in (self.size.fine, self.size.finer, self.size.large):
            self.scan(scan)
        self.multiplex()

    def scan(self, scan: Scan) -> Path:
        """A brightfield slide."""
        return self._made(
            f"{scan.name}-of{self.size.distinct_tiles}.svs", partial(self._write, scan)
        )

    def multiplex(self) -> Path:
        """The slide of seven channels."""
        side = self.size.multiplex_px
        return self._made(
            f"multiplex-{side}.ome.tif",
            lambda path: write_multiplex(path, side, np.random.default_rng(0), self.source),
        )

    def tissue_tile_bytes(self, scan: Scan) -> float:
        """Mean bytes of a compressed tile of nothing but tissue."""
        tiles = tissue(self.size.distinct_tiles, scan.tile_px, _rng(scan), self.source)
        return float(np.mean([len(compressed(tile)) for tile in tiles]))

    def _write(self, scan: Scan, path: Path) -> None:
        mosaic: Mosaic = compose(scan, self.size.distinct_tiles, _rng(scan), self.source)
        write_aperio(path, mosaic, scan.mpp)

    def _made(self, name: str, write: Callable[[Path], None]) -> Path:
        """The file of this name, written beside its place and moved there when it is whole."""
        path = self.folder / f"{'real' if self.source else 'made'}-{name}"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"part-{os.getpid()}-{path.name}")
            write(part)
            part.replace(path)
        return path


def _rng(scan: Scan) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(scan.name.encode()))
