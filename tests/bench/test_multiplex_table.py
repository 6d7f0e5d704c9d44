"""The table of multiplex files, on files made here: what is done, compared, and refused."""

import numpy as np
import pytest
import tifffile
from multiplex_table import HEADER, entries, table

PLANES = np.random.default_rng(0).integers(1, 60_000, (3, 256, 256), np.uint16)


@pytest.fixture
def folder(tmp_path):
    """A slide of three channels, one as a folder of two planes, a mask, and an array."""
    place = tmp_path / "files"
    (place / "planes").mkdir(parents=True)
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3", "CD8"]}}
    tifffile.imwrite(place / "a.ome.tiff", PLANES, ome=True, metadata=metadata)
    for name, plane in zip(("CD3", "CD8"), PLANES, strict=False):
        tifffile.imwrite(place / "planes" / f"{name}.tiff", plane, photometric="minisblack")
    tifffile.imwrite(place / "mask.tiff", PLANES[0], photometric="minisblack")
    np.save(place / "array.npy", PLANES)
    return place


def test_a_folder_of_channels_is_one_entry(folder):
    names = [path.name for path in entries(folder)]
    assert names == ["a.ome.tiff", "array.npy", "mask.tiff", "planes"]


def test_every_file_has_a_row_and_every_split_channel_is_compared(folder, tmp_path):
    lines = table(folder, tmp_path / "out").splitlines()
    cells = {row[1]: row for row in ([cell.strip() for cell in line.split("|")] for line in lines)}
    assert set(cells) == {"file", "---", "`a.ome.tiff`", "`array.npy`", "`mask.tiff`", "`planes/`"}
    assert tuple(cells["file"][1:-1]) == HEADER
    assert cells["`a.ome.tiff`"][3] == "3 uint16: DAPI, CD3, CD8"
    assert cells["`a.ome.tiff`"][-2] == "3 of 3 equal"
    assert cells["`planes/`"][-2] == "2 of 2 equal"
    assert cells["`mask.tiff`"][2].startswith("refused: ")
    assert "a mask is no slide" in cells["`mask.tiff`"][2]
    assert cells["`array.npy`"][2].startswith("refused: ")
