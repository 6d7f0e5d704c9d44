"""Tiles that look like stained tissue and cost as much to decode: made up, or cut from a slide."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from openslide import OpenSlide

__all__ = ["Tiles", "glass", "tissue"]

Tiles = NDArray[np.uint8]
Field = NDArray[np.float32]

# Optical densities of red, green and blue (Ruifrok and Johnston 2001, table of stains).
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)
EOSIN = np.array([0.07, 0.99, 0.11], np.float32)
OCTAVES = ((60, 0.30), (17, 0.22), (6, 0.16), (2.2, 0.09))
"""(size in pixels, amplitude) of the noise; the finest two set the bytes of a JPEG tile."""

GRAIN = 0.017  # optical density; with it a tile of 240 px takes 12 KB at quality 70, as tissue does
NUCLEUS_PX = (5, 11)  # half axes at 0.25 to 0.5 µm per pixel
NUCLEI_PER_PX = 1 / 900
LEAST_TISSUE, LEAST_SATURATION = 0.9, 20  # of a tile that is cut from a slide


def tissue(count: int, px: int, rng: np.random.Generator, slide: Path | None = None) -> Tiles:
    """Tissue ``(count, px, px, 3)`` uint8: cut from a slide if one is given, or else made up."""
    if slide is None:
        return np.stack([_made_up(px, rng) for _ in range(count)])
    found = list(_cut_from(slide, px))
    turns = rng.integers(0, 8, count)
    return np.stack([_turned(found[place % len(found)], turns[place]) for place in range(count)])


def glass(count: int, px: int, rng: np.random.Generator) -> Tiles:
    """Empty glass ``(count, px, px, 3)`` uint8 with the noise of a camera."""
    light = np.array([243, 242, 244]) + rng.normal(0, 1.2, (count, px, px, 3))
    return np.clip(light, 0, 255).astype(np.uint8)


def _cut_from(slide: Path, px: int) -> Iterator[Tiles]:
    with OpenSlide(slide) as opened:
        picture = np.asarray(opened.read_region((0, 0), 0, opened.dimensions).convert("RGB"))
    for y in range(0, picture.shape[0] - px + 1, px // 2):
        for x in range(0, picture.shape[1] - px + 1, px // 2):
            tile = picture[y : y + px, x : x + px]
            saturation = cv2.cvtColor(tile, cv2.COLOR_RGB2HSV)[..., 1]
            if (saturation > LEAST_SATURATION).mean() > LEAST_TISSUE:
                yield tile


def _turned(tile: Tiles, turn: int) -> Tiles:
    turned = np.rot90(tile, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned


def _made_up(px: int, rng: np.random.Generator) -> Tiles:
    """Fibres and cytoplasm of eosin, nuclei of haematoxylin (Beer and Lambert's law)."""
    eosin = 0.25 + 0.6 * _noise(px, rng)
    haematoxylin = 0.12 + 0.3 * _noise(px, rng) + _nuclei(px, rng) * (0.8 + _noise(px, rng))
    stains = np.stack([haematoxylin, eosin], axis=-1).clip(min=0)  # (px, px, 2)
    density = stains @ np.stack([HAEMATOXYLIN, EOSIN])  # (px, px, 3)
    density += rng.normal(0, GRAIN, density.shape)
    return np.clip(244 * 10**-density, 0, 255).astype(np.uint8)


def _noise(px: int, rng: np.random.Generator) -> Field:
    field = np.zeros((px, px), np.float32)
    for size, amplitude in OCTAVES:
        cells = max(2, round(px / size) + 2)
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        field += amplitude * cv2.resize(coarse, (px, px), interpolation=cv2.INTER_CUBIC)
    return field


def _nuclei(px: int, rng: np.random.Generator) -> Field:
    drawn = np.zeros((px, px), np.uint8)
    for _ in range(rng.poisson(px * px * NUCLEI_PER_PX)):
        centre, axes = rng.integers(0, px, 2), rng.integers(*NUCLEUS_PX, 2)
        cv2.ellipse(drawn, centre.tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, 255, -1)
    return cv2.GaussianBlur(drawn, (0, 0), 1.0).astype(np.float32) / 255
