"""Folders that are one slide: an OME-Zarr picture, and single-channel TIFFs side by side."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["channel_files", "is_channel_folder", "is_ome_zarr", "is_slide_folder", "multiscales"]

ZARR = ".zarr"
TIFF_SUFFIXES = (".tif", ".tiff")


def is_slide_folder(path: Path) -> bool:
    """Whether the folder, named as such, is a slide in itself."""
    return path.is_dir() and (is_ome_zarr(path) or is_channel_folder(path))


def is_ome_zarr(path: Path) -> bool:
    """Whether the folder is called so and says that it holds a picture of several scales."""
    return path.suffix.lower() == ZARR and multiscales(path) is not None


def multiscales(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """The group that holds the picture, with its metadata; None where there is none.

    OME-Zarr 0.5 keeps them in `zarr.json` under "ome", 0.4 in `.zattrs`. Of a converted file with
    several pictures (layout bioformats2raw) the first, which is called "0", is taken.
    """
    found = _attributes(path)
    if "multiscales" in found:
        return path, found
    return multiscales(path / "0") if found.get("bioformats2raw.layout") else None


def is_channel_folder(path: Path) -> bool:
    """Whether all of its files, two at least, are plain TIFFs of one grey plane each."""
    from wsi_tools.slide.tiff import survey_if_tiff  # brings tifffile; few folders come this far

    files = list(_visible(path))
    if len(files) < 2 or not all(_may_be_channel(each) for each in files):
        return False
    surveys = (survey_if_tiff(each) for each in files)
    return all(seen is not None and seen.is_one_grey_plane for seen in surveys)


def channel_files(path: Path) -> list[Path]:
    """The files of such a folder, by name."""
    return sorted(_visible(path))


def _may_be_channel(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in TIFF_SUFFIXES


def _visible(path: Path) -> Iterator[Path]:
    return (each for each in path.iterdir() if not each.name.startswith("."))


def _attributes(group: Path) -> dict[str, Any]:
    """The attributes of a Zarr group that OME-Zarr gives a meaning to."""
    newer = _json(group / "zarr.json").get("attributes", {}).get("ome")
    return newer if isinstance(newer, dict) else _json(group / ".zattrs")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
