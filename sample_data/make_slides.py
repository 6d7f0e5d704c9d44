"""Make small pyramidal slides in Aperio layout from the stained tissue that scikit-image ships.

    python sample_data/make_slides.py demo/slides

Three sections of the same tissue, as scanners of different resolution would show them. Nothing is
downloaded, and the same versions of the libraries write the same bytes.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

Pixels = NDArray[np.uint8]

PHOTO_MPP = 0.5  # µm/px; nobody recorded it, but its nuclei are then as long as nuclei are
FIELD_PX = (2304, 1792)  # (width, height) at PHOTO_MPP: 1.15 mm × 0.90 mm of glass
GLASS = 243  # grey level
EDGE_PX = 6.0  # at PHOTO_MPP, over which tissue fades into glass
REDUCTION = 4  # from level to level, as Aperio scanners do
TILE_PX = 256
QUALITY = 85  # of JPEG


@dataclass(frozen=True)
class Section:
    """One slide to make: its name, its scale, and what tells its tissue from the others'."""

    name: str
    mpp: float
    magnification: int
    quarter_turns: int
    phase: float


SECTIONS = (
    Section("colon_a", mpp=0.5, magnification=20, quarter_turns=0, phase=0.0),
    Section("colon_b", mpp=0.25, magnification=40, quarter_turns=1, phase=2.0),
    Section("colon_c", mpp=0.2738, magnification=40, quarter_turns=2, phase=4.0),
)


def main(folder: Path) -> None:
    """Write every section into the folder and print its path."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = immunohistochemistry()
    for section in SECTIONS:
        path = folder / f"{section.name}.svs"
        write_slide(path, scanned(photo, section), section)
        print(path)


def scanned(photo: Pixels, section: Section) -> Pixels:
    """Level 0 of a section: mirrored copies of the photograph, cut to a shape, on glass."""
    tissue = mosaic(np.rot90(photo, section.quarter_turns))
    cover = tissue_cover(section.phase)[..., None]
    field = GLASS + (tissue - np.float32(GLASS)) * cover  # (height, width, 3)
    scale = PHOTO_MPP / section.mpp
    size = (round(FIELD_PX[0] * scale), round(FIELD_PX[1] * scale))
    enlarged = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)
    return np.rint(enlarged).astype(np.uint8)


def mosaic(photo: Pixels) -> Pixels:
    """The field full of copies, each the mirror image of its neighbours, so that no seam shows."""
    beyond = [(0, max(0, FIELD_PX[1 - axis] - photo.shape[axis])) for axis in (0, 1)]
    return np.pad(photo, (*beyond, (0, 0)), mode="symmetric")


def tissue_cover(phase: float) -> NDArray[np.float32]:
    """How much of each pixel is tissue, 0 to 1: a lobed piece with a hole in it."""
    width, height = FIELD_PX
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (2 * x / width - 1), (2 * y / height - 1)
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    rim = 0.78 + 0.09 * np.sin(3 * angle + phase) + 0.05 * np.sin(5 * angle - phase)
    inside = np.minimum(rim - radius, np.hypot(x - 0.25, y + 0.1) - 0.16)
    return np.clip(inside * (height / 2 / EDGE_PX) + 0.5, 0, 1).astype(np.float32)


def write_slide(path: Path, picture: Pixels, section: Section) -> None:
    """Write the pyramid in Aperio's order: level 0, the thumbnail in strips, the reduced levels."""
    levels = list(pyramid(picture))
    with tifffile.TiffWriter(path) as slide:
        for place, level in enumerate(levels):
            write_picture(slide, level, describe(level, picture, section), tile=(TILE_PX, TILE_PX))
            if place == 0:
                write_picture(slide, levels[-1], describe(levels[-1], picture, section))


def pyramid(picture: Pixels) -> Iterator[Pixels]:
    """Yield the picture and its reductions, down to one that fits into a tile or two."""
    yield picture
    while max(picture.shape[:2]) > 2 * TILE_PX:
        size = (picture.shape[1] // REDUCTION, picture.shape[0] // REDUCTION)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield picture


def write_picture(
    slide: tifffile.TiffWriter,
    picture: Pixels,
    description: str,
    tile: tuple[int, int] | None = None,
) -> None:
    """Append one picture, JPEG in tiles or in strips."""
    slide.write(
        picture,
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": QUALITY},
        tile=tile,
        rowsperstrip=None if tile else 16,
        description=description,
        metadata=None,
    )


def describe(picture: Pixels, whole: Pixels, section: Section) -> str:
    """Say what Aperio's description says: sizes, magnification and µm per pixel of level 0."""
    sizes = f"{whole.shape[1]}x{whole.shape[0]} -> {picture.shape[1]}x{picture.shape[0]}"
    scale = f"AppMag = {section.magnification}|MPP = {section.mpp:g}"
    return f"Aperio layout, made for trying things out\r\n{sizes} JPEG/RGB Q={QUALITY}|{scale}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
