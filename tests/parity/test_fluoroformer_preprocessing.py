"""Fluoroformer's preparation of multiplex slides, through a file as any other slide's."""

import numpy as np
import pytest
import tifffile
import torch

from wsi_tools.channels import CHANNEL_RECIPES, ChannelTransform
from wsi_tools.slide import open_slide
from wsi_tools.slide.sampling import read_box
from wsi_tools.tiling import TileSpec, tile
from wsi_tools.tissue import TissueOptions, segment
from wsi_tools.tissue.picture import read_picture

RECIPE = CHANNEL_RECIPES["fluoroformer"]
NAMES = ("DAPI", "CD8", "FOXP3", "PD1", "PDL1", "CK", "autofluorescence")


@pytest.fixture
def dtype() -> torch.dtype:
    """Our planes are float32; the file's own tolerance of 1e-6 is kept all the same."""
    return torch.float64


@pytest.fixture
def case(golden):
    opened = golden("fluoroformer_preproc")
    opened.leave_out("hne_thumb", "hne_mask", "hne_emb", "hne_embedder_input_shape")  # brightfield
    return opened


@pytest.fixture
def slide(case, tmp_path):
    """The seven channels that it uses, cut to whole tiles as it does, at 1 µm per pixel."""
    side = case.config["ps"]
    height, width = (length // side * side for length in (case.config["h"], case.config["w"]))
    pixels = case.given("mif").numpy()[: case.config["M"], :height, :width]
    size = {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}
    metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}, **size}
    tifffile.imwrite(tmp_path / "case.ome.tiff", pixels, metadata=metadata)
    with open_slide(tmp_path / "case.ome.tiff") as opened:
        yield opened


def test_thumbnail_mask_patch_order_and_planes_are_those_of_the_release(case, slide):
    side = case.config["ps"]
    case.agree("mif_thumb", torch.from_numpy(read_picture(slide, float(side), fine=True).pixels))
    options = TissueOptions(
        RECIPE.tissue_method, float(side), min_area_um2=0, min_hole_area_um2=0, close_um=0
    )
    tissue = segment(slide, options)
    case.agree("mif_mask", torch.from_numpy(tissue.mask))

    grid = tile(slide.info, tissue, TileSpec(px=side, mpp=1.0, min_tissue=0.5))
    matched = RECIPE.panel(slide.info).matched(slide.info)
    with slide.only(matched.channels) as shown:
        pixels = np.stack(
            [read_box(shown, grid.box(row), (side, side), grid.level) for row in range(len(grid))]
        )
    planes = ChannelTransform(matched, RECIPE.normalization)(pixels)  # (B, M, px, px)
    planes = torch.from_numpy(planes[:, [matched.names.index(name) for name in NAMES]])
    case.agree("mif_embedder_input_first_channel", planes)
    stand_in = [planes.mean((2, 3)), planes.amax((2, 3)), torch.zeros(planes.shape[:2])]
    case.agree("mif_emb", torch.stack(stand_in, dim=-1))
