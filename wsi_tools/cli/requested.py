"""From a verb's options to what preparation is asked to do."""

from dataclasses import replace
from itertools import zip_longest
from typing import Any

import typer

from wsi_tools.cli import options as opt
from wsi_tools.cli import terminal
from wsi_tools.cli.markers import markers, panel_given, recipe_given
from wsi_tools.cli.verbs import configuration, refuse_unknown, was_typed
from wsi_tools.embedding import ENGINES
from wsi_tools.embedding.cards import find_card
from wsi_tools.errors import InputError
from wsi_tools.preparation import Embedding, Preparation, Reading, Segmenting, Tiling
from wsi_tools.preparation.features import refuse_geometry
from wsi_tools.slide import READERS
from wsi_tools.slide.resolution import stated
from wsi_tools.tiling import TileSpec
from wsi_tools.tissue import MULTIPLEX_SEGMENTERS, PRESETS, SEGMENTERS, TissueOptions

DTYPES = ("float16", "float32")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
PAPER_PX = 224  # of the one recipe there is
PAPER_TISSUE = 0.5  # its tiles are foreground or not; ours meet its pixels to within half a tile


def preparation(ctx: typer.Context, until: Any) -> Preparation:
    """The stages up to `until`; those that no option was typed for take what a store has."""
    given = ctx.params
    tiles = tiling(ctx)
    features = embedding(ctx) if until == "embed" else None
    if tiles and features:
        refuse_geometry(features, tiles.spec.mpp)
    return Preparation(
        until=until,
        reading=reading(ctx),
        segmenting=segmenting(ctx),
        tiling=tiles,
        embedding=features,
        overwrite=given["overwrite"],
        dry_run=given["dry_run"],
        pictures=pictures(ctx),
        command=configuration(ctx),
    )


def reading(ctx: typer.Context) -> Reading:
    """How slides are opened.

    Raises:
        InputError: there is no such reader, or no slide has such a resolution.
    """
    given = ctx.params
    refuse_unknown("--reader", given["reader"], ("auto", *READERS))
    for name in ("mpp_override", "mpp_fallback"):
        stated(f"--{name.replace('_', '-')}", given[name])
    return Reading(given["reader"], given["mpp_override"], given["mpp_fallback"])


def pictures(ctx: typer.Context) -> tuple[str, ...]:
    """What segmentation shows a person."""
    return tuple(name for name in opt.names(opt.Pictures) if ctx.params.get(name))


def segmenting(ctx: typer.Context) -> Segmenting:
    """How tissue is found; insisted on where something was said of it, if only by the verb."""
    given, panel = ctx.params, panel_given(ctx)
    nuclear = panel.nuclear if panel else ()
    if "method" not in given:
        return Segmenting(replace(PRESETS["he"], nuclear=nuclear), insists=False)
    typed = was_typed(ctx, *opt.names(opt.Tissue), "recipe")
    options = replace(tissue_options(ctx), nuclear=nuclear)
    insists = ctx.info_name == "segment" or typed
    return Segmenting(options, given["roi"], given["exclude"], insists=insists)


def tissue_options(ctx: typer.Context) -> TissueOptions:
    """A preset, with the numbers that were given in the place of its own.

    Raises:
        InputError: there is no such preset, or a number is out of range.
    """
    given = ctx.params
    refuse_unknown("--preset", given["preset"], PRESETS)
    refuse_unknown("--method", given["method"], ("auto", *SEGMENTERS, *MULTIPLEX_SEGMENTERS))
    numbers = ("seg_mpp", "min_area_um2", "min_hole_area_um2", "close_um")
    typed = {each: given[each] for each in numbers if given[each] is not None}
    if not (paper := recipe_given(ctx)):
        return replace(PRESETS[given["preset"]], method=given["method"], **typed)
    method = given["method"] if was_typed(ctx, "method") else paper.tissue_method
    return replace(PRESETS["mif"], method=method, **{**a_pixel_per_tile(ctx), **typed})


def a_pixel_per_tile(ctx: typer.Context) -> dict[str, float]:
    """The paper's tissue: a verdict on every tile by itself, and nothing tidied."""
    side_um = tile_px(ctx) * target_mpp(ctx)
    return {"seg_mpp": side_um, "min_area_um2": 0, "min_hole_area_um2": 0, "close_um": 0}


def tiling(ctx: typer.Context) -> Tiling | None:
    """Which tiles; None where nothing was said of them, except by a verb that tiles."""
    given = ctx.params
    names = (*opt.names(opt.Scale), *opt.names(opt.LeastTissue))
    if "mpp" not in given or not (ctx.info_name in ("tile", "run") or was_typed(ctx, *names)):
        return None
    least = given["min_tissue"] if was_typed(ctx, "min_tissue") else None
    if given["mag"] is not None:
        terminal.say(f"--mag {given['mag']:g} means --mpp {target_mpp(ctx):g}")
    paper = recipe_given(ctx)
    spec = TileSpec(
        px=tile_px(ctx),
        mpp=target_mpp(ctx),
        overlap=overlap_px(given["overlap"], tile_px(ctx)),
        min_tissue=given["min_tissue"] if least is not None or not paper else PAPER_TISSUE,
        mpp_tolerance=given["mpp_tolerance"],
        allow_upsample=given["allow_upsample"],
    )
    return Tiling(spec, least)


def tile_px(ctx: typer.Context) -> int:
    """Side of a tile; the paper's where none was typed."""
    of_paper = recipe_given(ctx) and not was_typed(ctx, "tile_size")
    return PAPER_PX if of_paper else int(ctx.params["tile_size"])


def target_mpp(ctx: typer.Context) -> float:
    """µm/px of a tile, from --mpp or from --mag.

    Raises:
        InputError: both were given, or a magnification of nothing.
    """
    mag = ctx.params["mag"]
    if mag is None:
        return float(ctx.params["mpp"])
    if was_typed(ctx, "mpp"):
        raise InputError(f"--mag {mag:g} and --mpp were both given; keep --mpp {10 / mag:g}")
    if not mag > 0:
        raise InputError(f"--mag {mag:g} is no magnification; try --mag 20")
    return float(10 / mag)


def overlap_px(text: str, px: int) -> int:
    """Pixels from ``32`` or ``50%``.

    Raises:
        InputError: neither.
    """
    number = text.removesuffix("%")
    if not number.isdecimal():
        raise InputError(f"--overlap {text}: give px such as 32, or a share such as 50%")
    return round(px * int(number) / 100) if text.endswith("%") else int(number)


def embedding(ctx: typer.Context) -> Embedding:
    """Which backbones, and how.

    Raises:
        InputError: an unknown engine or dtype, or weights for some backbones only.
    """
    given = ctx.params
    refuse_unknown("--engine", given["engine"], ENGINES)
    refuse_unknown("--dtype", given["dtype"], DTYPES)
    refuse_unknown("--precision", given["precision"], PRECISIONS)
    return Embedding(
        backbones=_with_weights(given["backbone"], given["weights"] or []),
        grid=given.get("grid"),
        device=_devices(given["device"]),
        precision=given["precision"],
        engine=given["engine"],
        dtype=given["dtype"],
        batch_size=given["batch_size"],
        readers=given["readers"],
        max_bad_tiles=share(given["max_bad_tiles"]),
        min_tissue=given["min_tissue"] if was_typed(ctx, "min_tissue") else None,
        allow_geometry_mismatch=given["allow_geometry_mismatch"],
        offline=given["offline"],
        markers=markers(ctx),
        fast_downsample=given["fast_downsample"],
    )


def share(text: str) -> float:
    """A share from ``1%`` or ``0.01``.

    Raises:
        InputError: no number between 0 and 1.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"--max-bad-tiles {text}: give a share such as 1% or 0.01")
    return value


def _devices(text: str) -> str:
    """The devices, which must be of one kind: features depend on it."""
    kinds = sorted({name.partition(":")[0] for name in text.split(",")})
    if len(kinds) > 1:
        raise InputError(f"--device {text}: {' and '.join(kinds)} compute differently; name one")
    return text


def _with_weights(names: list[str], weights: list[str]) -> tuple[tuple[str, str | None], ...]:
    if weights and len(weights) != len(names):
        raise InputError(
            f"{len(weights)} --weights for {len(names)} --backbone; give one for each, in order"
        )
    if len(set(names)) < len(names):
        raise InputError(f"--backbone {', '.join(names)}: give each once")
    for name in names:
        find_card(name)  # raises for a name that stands for nothing
    return tuple(zip_longest(names, weights))
