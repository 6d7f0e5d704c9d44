"""Take every file of a folder through every stage by the command line, and tell what came of it.

    python benchmarks/multiplex_table.py FOLDER [--out docs/pages/multiplex.md]

A folder of single-channel TIFFs is one slide. Weights are random, and files without a scale that
can be used get 0.5 µm/px. The channels that are split are compared with the file's planes, which
tifffile reads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from science_bench.table import markdown, written

from wsi_tools.slide.folders import channel_files, is_channel_folder
from wsi_tools.store import FeatureStore

CLI = Path(__file__).parents[1] / "cli.py"
MPP = 0.5
LARGEST_TILE, TILES_ACROSS = 224, 2  # a tile of a small picture is half as wide as the picture
SPECK_PX = 200  # a narrower picture is smaller than the least piece of tissue: all of it is taken
RULE = ("--normalize", "percentile:1,99")  # of float32, which has no largest value
HEADER = ("file", "reader", "channels", "µm/px", "segment", "tile", "embed", "split-channels")


@dataclass(frozen=True)
class Left:
    """What a command left: what it says of the slide, or why it refused."""

    row: Mapping[str, Any]
    refusal: str


@dataclass(frozen=True)
class Trial:
    """One file, and a folder for what is made of it."""

    path: Path
    out: Path

    def call(self, verb: str, *options: str) -> Left:
        """Run a verb on the file.

        Raises:
            RuntimeError: it did not fail for the file's sake.
        """
        command = [sys.executable, str(CLI), verb, str(self.path), "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_alone())
        if not done.returncode:
            return Left(json.loads(done.stdout.splitlines()[-1]), "")
        if (refusal := _refusal(done.stderr)) is None:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return Left({}, refusal)

    def row(self) -> list[str]:
        """The file's line of the table."""
        seen = self.call("info")
        name = f"`{self.path.name}{'/' if self.path.is_dir() else ''}`"
        if not seen.row:
            return [name, f"refused: {seen.refusal}", *[""] * (len(HEADER) - 2)]
        return [name, *_facts(seen.row), *self._stages(seen.row)]

    def _stages(self, info: Mapping[str, Any]) -> Iterator[str]:
        width, height = info["levels"][0]["size"]
        scale = () if info["resolution"] else ("--mpp-override", f"{MPP:g}")
        project = ("-o", str(self.out / "proj"), *scale)
        speck = min(width, height) < SPECK_PX
        method = ("--method", "none") if speck else ()
        tile_px = min(LARGEST_TILE, min(width, height) // TILES_ACROSS)
        grid = ("--mpp", f"{MPP:g}", "--tile-size", str(tile_px))
        rule = RULE if info["channels"][0]["dtype"] == "float32" else ()
        tissue = "all of it" if speck else "{tissue_mm2:.2g} mm²"
        yield _told(self.call("segment", *project, *method), tissue, method)
        tiles = f"{{tiles_with_tissue}} tiles of {tile_px} px"
        yield _told(self.call("tile", *project, *grid), tiles)
        embedded = self.call("embed", *project, *rule, "--weights", "random:0")
        yield _told(embedded, _shape(embedded), rule)
        split = self.call("split-channels", "-o", str(self.out / "split"), *scale)
        yield split.refusal if not split.row else _equal(self.path, Path(split.row["folder"]))


def entries(folder: Path) -> Iterator[Path]:
    """The files below a folder; a folder of channels stands for its own."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not is_channel_folder(path):
            yield from entries(path)
        elif not path.name.startswith("."):
            yield path


def _facts(info: Mapping[str, Any]) -> Iterator[str]:
    """Reader, channels, and the scale with where it is from."""
    channels = info["channels"]
    names = ", ".join(each["name"] for each in channels[:3]) + (", …" if len(channels) > 3 else "")
    yield info["reader"]
    yield f"{len(channels)} {channels[0]['dtype']}: {names}"
    known = info["resolution"]
    if known:
        yield f"{known['mpp_x']:.4g}, {known['source']}"
        return
    refused = "; ".join(f"{each['source']}: {each['refused']}" for each in info["resolutions"])
    yield f"`--mpp-override {MPP:g}` ({refused or 'none in the file'})"


def _told(left: Left, text: str, options: Sequence[str] = ()) -> str:
    """What was done and what had to be asked for, or why it was not done."""
    asked = f" (`{' '.join(options)}`)" if options else ""
    return text.format(**left.row) + asked if left.row else left.refusal


def _shape(left: Left) -> str:
    """The shape of the features in the store."""
    if not left.row:
        return ""
    store = FeatureStore(left.row["store"])
    (key,) = store.grid_keys()
    (name,) = store.feature_names(key)
    return " × ".join(map(str, store.features(key, name).shape))


def _equal(path: Path, folder: Path) -> str:
    """How many of the split channels are the file's planes, bit for bit."""
    record = json.loads((folder / "split.json").read_text())
    channels = {name: each["channel"] for name, each in record["request"]["markers"].items()}
    planes = _planes(path)
    equal = [
        _same(planes[channels[name]], zarr.open_array(folder / file / "0", mode="r"))
        for name, file in record["files"].items()
    ]
    return f"{sum(equal)} of {len(equal)} equal"


def _same(plane: NDArray[Any], level: zarr.Array[Any]) -> bool:
    split = np.asarray(level[...]).squeeze()
    return split.dtype == plane.dtype and split.tobytes() == plane.tobytes()


def _planes(path: Path) -> Sequence[NDArray[Any]]:
    """The planes ``(H, W)`` of a file as tifffile reads them, in the order of the file.

    Hamamatsu codes a marker's brightness as shades of one colour.
    """
    if path.is_dir():
        return [tifffile.imread(each) for each in channel_files(path)]
    with tifffile.TiffFile(path) as tiff:
        picture = tiff.series[0].levels[0].asarray()
    return list(picture.max(axis=-1)[None] if path.suffix == ".ndpi" else picture)


def _refusal(said: str) -> str | None:
    """Why the slide failed, less kind, slide, stage and advice; None where no slide did."""
    failed = (line for line in said.splitlines() if line.startswith("failed: "))
    reason = next(failed, None)
    return reason and reason.split(": ", 3)[-1].split("; check that")[0].replace("|", "\\|")


def _alone() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def table(folder: Path, out: Path) -> str:
    """The whole table."""
    rows = [Trial(path, out / str(place)).row() for place, path in enumerate(entries(folder))]
    return markdown(HEADER, rows)


def main() -> None:
    """Try every file, print the table, and write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="page to write the table into")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        text = table(asked.folder, Path(out))
    print(text)
    if asked.out:
        written(asked.out, "files", text)


if __name__ == "__main__":
    main()
