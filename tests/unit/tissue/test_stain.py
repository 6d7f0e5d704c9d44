import numpy as np
import pytest

from wsi_tools.tissue.options import H_DAB, HE
from wsi_tools.tissue.stain import UNIT, Absorbance, glass_colour, judged

GLASS = (242, 240, 243)
EVERY_ROW = slice(None)


def on_glass(*colours: tuple[int, int, int]) -> np.ndarray:
    """A row of pixels of these colours under a field of glass."""
    picture = np.full((20, max(10, len(colours)), 3), GLASS, np.uint8)
    picture[0, : len(colours)] = colours
    return picture


def stained(haematoxylin: float, eosin: float) -> tuple[int, int, int]:
    """Beer and Lambert's law with the vectors of Ruifrok and Johnston (2001)."""
    density = haematoxylin * np.array([0.65, 0.70, 0.29]) + eosin * np.array([0.07, 0.99, 0.11])
    red, green, blue = (np.array(GLASS) * 10**-density).round().astype(int)
    return int(red), int(green), int(blue)


def is_foreign(absorbance: Absorbance, stain) -> np.ndarray:
    _, foreign = judged(absorbance, stain)
    return foreign


def foreign(colour: tuple[int, int, int], stain=HE) -> bool:
    return bool(is_foreign(Absorbance.of(on_glass(colour)), stain)[0, 0])


def exact(picture: np.ndarray, glass: tuple[int, int, int]) -> np.ndarray:
    """Optical density of each channel in double precision, (3, h, w)."""
    light = (np.minimum(picture, glass) + 1.0) / (np.array(glass) + 1.0)
    return -np.log10(light).transpose(2, 0, 1)


def test_glass_is_the_commonest_bright_colour_however_little_there_is_of_it():
    picture = np.full((50, 50, 3), (200, 120, 180), np.uint8)
    picture[:5] = (235, 232, 225)
    assert glass_colour(picture) == (235, 232, 225)


def test_glass_is_found_in_a_picture_too_large_to_ask_every_pixel():
    picture = np.full((900, 1000, 3), (200, 120, 180), np.uint8)
    picture[450:, :500] = (235, 232, 225)
    picture[450:, 500:900] = (236, 233, 226)
    assert glass_colour(picture) == (235, 232, 225)


def test_a_picture_without_glass_is_measured_against_white():
    assert glass_colour(np.full((5, 5, 3), (200, 120, 180), np.uint8)) == (255, 255, 255)


def test_density_is_the_logarithm_of_the_light_lost():
    absorbance = Absorbance.of(on_glass((23, 240, 243)))
    red, green, blue = (each[0, 0] / UNIT for each in absorbance.channels(EVERY_ROW))
    assert red == pytest.approx(np.log10(243 / 24), abs=0.5 / UNIT)
    assert (green, blue) == (0, 0)
    assert absorbance.density(EVERY_ROW)[0, 0] == pytest.approx(red / 3, rel=1e-6)


@pytest.mark.parametrize("than", [0.02, 0.0314, 0.05, 0.75, 2.4])
def test_whole_numbers_compare_densities_as_the_logarithm_does(than):
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    picture[:100] = np.maximum(picture[:100], 215)  # pale
    picture[0, 0] = 0
    absorbance = Absorbance(picture, (255, 240, 243))
    density = exact(picture, absorbance.glass).mean(axis=0)
    differs = absorbance.denser(than) != (density > than)
    assert np.abs(density[differs] - than).max(initial=0) < 1 / UNIT


def test_what_is_there_is_what_is_opaque_and_the_foreign_is_some_of_it():
    picture = np.random.default_rng(0).integers(150, 256, (50, 40, 3), dtype=np.uint8)
    absorbance = Absorbance(picture, (250, 250, 250))
    opaque, foreign = judged(absorbance, HE)
    assert np.array_equal(opaque, absorbance.denser(0.05))
    assert opaque[foreign].all()
    assert 0 < foreign.sum() < opaque.sum()


def test_brighter_than_glass_is_no_negative_density():
    channels = Absorbance.of(on_glass((255, 255, 255))).channels(EVERY_ROW)
    assert min(each.min() for each in channels) == 0


@pytest.mark.parametrize(
    ("haematoxylin", "eosin"),
    [(0.15, 0), (0.6, 0), (0, 0.2), (0, 0.8), (0.3, 0.3), (0.7, 0.1), (0.1, 0.5)],
)
def test_every_mixture_of_haematoxylin_and_eosin_is_kept(haematoxylin, eosin):
    assert not foreign(stained(haematoxylin, eosin))


def test_blood_is_kept_until_it_is_as_red_as_ink():
    assert not foreign((205, 100, 140))
    assert foreign((205, 90, 110))


@pytest.mark.parametrize(
    "ink",
    [(45, 130, 104), (20, 70, 50), (60, 74, 175), (193, 52, 62), (140, 20, 30), (25, 25, 30)],
    ids=["green", "dark green", "blue", "red", "dark red", "black"],
)
def test_ink_is_foreign(ink):
    assert foreign(ink)


def test_dust_and_the_edge_of_the_coverslip_are_foreign():
    assert foreign((166, 164, 167))
    assert foreign((120, 118, 121))


def test_glass_itself_is_not_foreign():
    assert not foreign(GLASS)
    assert not foreign((238, 241, 240))


def test_diaminobenzidine_is_kept_where_it_was_asked_for():
    brown = (130, 66, 40)
    assert foreign(brown)
    assert not foreign(brown, H_DAB)
    assert not foreign((70, 60, 58), H_DAB)
    assert foreign((45, 130, 104), H_DAB)


@pytest.mark.parametrize("stain", [HE, H_DAB], ids=["he", "h-dab"])
def test_the_colour_is_judged_as_by_its_hue(stain):
    picture = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    absorbance = Absorbance.of(picture)
    channels = absorbance.channels(EVERY_ROW) / UNIT
    density = np.maximum(channels.mean(axis=0), 1e-9)
    red, green, blue = channels / density
    along, across = red - 1, (green - blue) / np.sqrt(3)
    hue, saturation = np.degrees(np.arctan2(across, along)) % 360, np.hypot(along, across)
    red_ink = (hue > stain.red_hue_deg) & (density * saturation > stain.max_red_chroma)
    in_hue = (hue >= stain.hue_deg[0]) & (hue <= stain.hue_deg[1]) & ~red_ink
    stained = in_hue & (saturation >= stain.min_saturation) & (density <= stain.max_density)
    differs = is_foreign(absorbance, stain) != ((density > 0.05) & ~stained)
    at_a_limit = np.abs(hue[..., None] - [*stain.hue_deg, stain.red_hue_deg]).min(axis=-1) < 1e-3
    at_a_limit |= np.abs(saturation - stain.min_saturation) < 1e-6
    at_a_limit |= np.abs(density - stain.max_density) < 1e-6
    assert not (differs & ~at_a_limit & (saturation > 1e-3)).any()  # grey has no hue


@pytest.mark.parametrize("level", range(150, 235))
def test_a_colour_on_the_limit_is_the_stains_whatever_its_rounding(level):
    glass = np.full((20, 10, 3), 243, np.uint8)
    glass[0, 0] = level, level, level - 2  # absorbs blue most, red and green alike: hue 240°
    glass[0, 1] = level, level, level  # has no hue: no saturation is enough for one, not the other
    absorbance = Absorbance.of(glass)
    assert is_foreign(absorbance, H_DAB)[0, :2].tolist() == [False, False]
    opaque = absorbance.denser(0.05)[0, :2]
    assert is_foreign(absorbance, HE)[0, :2].tolist() == opaque.tolist()
