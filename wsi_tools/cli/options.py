"""The options of the verbs, in groups that verbs share; each is described once.

A group is a class whose annotated attributes are options with their defaults. `takes` gives a verb
the options of several groups, as if its signature listed them.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from wsi_tools.cli.verbs import Config, show_origins

VerbFunction = Callable[[typer.Context], None]


def takes(*groups: type) -> Callable[[VerbFunction], Callable[..., None]]:
    """Give a verb the options of these groups; it finds their values in its context."""
    options = [option for group in groups for option in _options(group)]

    def wrap(verb: VerbFunction) -> Callable[..., None]:
        def command(ctx: typer.Context, **_: Any) -> None:
            verb(ctx)

        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        command.__signature__ = inspect.Signature([context, *options])  # type: ignore[attr-defined] # Typer reads it
        command.__annotations__ = {"ctx": typer.Context} | {o.name: o.annotation for o in options}
        command.__name__, command.__doc__ = verb.__name__, verb.__doc__
        return command

    return wrap


def names(group: type) -> tuple[str, ...]:
    """The names of a group's options."""
    return tuple(inspect.get_annotations(group))


def _options(group: type) -> Iterator[inspect.Parameter]:
    for name, hint in inspect.get_annotations(group).items():
        default = getattr(group, name, inspect.Parameter.empty)
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
        )


def option(
    help_text: str,
    *names: str,
    panel: str | None = None,
    metavar: str | None = None,
    default: str | None = None,
    least: float | None = None,
) -> Any:
    """An option of a verb.

    Args:
        help_text: one line.
        names: with their dashes, where they are not the parameter's own.
        panel: where help lists it.
        metavar: what its value is called.
        default: what is taken where nothing is given, if the code's default does not say it.
        least: the smallest number allowed.
    """
    return typer.Option(
        *names,
        help=help_text,
        rich_help_panel=panel,
        metavar=metavar,
        min=least,
        show_default=default or True,
        show_envvar=False,
    )


class Manners:
    """What every verb has."""

    config: Config = None
    print_config: Annotated[
        bool, option("Print the options as TOML and stop.", "--print-config")
    ] = False
    json: Annotated[bool, option("One JSON object per line on stdout.", "--json")] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Show where an error came from.",
            callback=show_origins,
            show_envvar=False,
        ),
    ] = False


class Input:
    """Which slides, and how they are opened."""

    slides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Slides, folders, globs, projects or stores; - reads paths from stdin.",
            show_default=False,
            show_envvar=False,
        ),
    ] = None
    recursive: Annotated[
        bool, option("Look in folders below.", "--recursive", "-r", panel="Input")
    ] = False
    manifest: Annotated[
        Path | None,
        option(
            "CSV with a column path, and if wanted slide_id and mpp.", panel="Input", metavar="FILE"
        ),
    ] = None
    reader: Annotated[
        str,
        option(
            "auto, tiff, openslide, tiffslide, image; ome, ome-zarr, channel-folder or "
            "fluorescent-ndpi.",
            panel="Input",
        ),
    ] = "auto"
    mpp_override: Annotated[
        float | None, option("µm/px of level 0, whatever the file says.", panel="Input")
    ] = None
    mpp_fallback: Annotated[
        float | None, option("µm/px of level 0 where the file says nothing.", panel="Input")
    ] = None


class Output:
    """Where stores go, and what happens to those that are there."""

    out: Annotated[
        Path | None,
        option(
            "The project: one <slide_id>.zarr per slide.",
            "--out",
            "-o",
            panel="Output",
            metavar="DIR",
        ),
    ] = None
    overwrite: Annotated[
        bool, option("Replace what another request made.", "--overwrite", panel="Output")
    ] = False
    dry_run: Annotated[
        bool, option("Say what would be done; write nothing.", "--dry-run", panel="Output")
    ] = False


class Many:
    """How many slides at a time, which of them, and when to stop."""

    workers: Annotated[int, option("Worker processes.", panel="Many slides", least=1)] = 1
    shard: Annotated[
        str | None,
        option("I/N: every N-th slide from the I-th; auto asks SLURM.", panel="Many slides"),
    ] = None
    time_limit: Annotated[
        str | None,
        option("H:MM:SS or seconds; then stop in good order (75).", panel="Many slides"),
    ] = None
    stall_limit: Annotated[
        float,
        option(
            "Seconds without a sign of life after which a slide fails and its worker is replaced.",
            panel="Many slides",
            least=1,
        ),
    ] = 900
    fail_fast: Annotated[
        bool, option("Stop at the first failure.", "--fail-fast", panel="Many slides")
    ] = False


class Tissue:
    """How tissue is found; a number not given comes from the preset."""

    method: Annotated[
        str,
        option(
            "auto, otsu, hsv, entropy, none or a plug-in; multiplex nuclear, any-marker or none.",
            panel="Tissue",
        ),
    ] = "auto"
    preset: Annotated[str, option("he (leaves out pen), ihc, biopsy or mif.", panel="Tissue")] = (
        "he"
    )
    seg_mpp: Annotated[
        float | None, option("Working resolution, µm/px.", panel="Tissue", default="8")
    ] = None
    min_area_um2: Annotated[
        float | None,
        option("Smaller pieces are dropped.", panel="Tissue", default="20000; biopsy 4000"),
    ] = None
    min_hole_area_um2: Annotated[
        float | None,
        option("Smaller holes are filled.", panel="Tissue", default="4000; biopsy 1000"),
    ] = None
    close_um: Annotated[
        float | None,
        option(
            "Gaps that a disk of this radius cannot enter are closed.",
            panel="Tissue",
            default="16",
        ),
    ] = None
    roi: Annotated[
        Path | None,
        option(
            "GeoJSON, or folder of <slide_id>.geojson: only inside.", panel="Tissue", metavar="PATH"
        ),
    ] = None
    exclude: Annotated[
        Path | None, option("GeoJSON, or folder: never inside.", panel="Tissue", metavar="PATH")
    ] = None


class WhichPanel:
    """The markers of multiplex slides."""

    panel: Annotated[
        Path | None,
        option(
            "CSV with a row per marker: marker_name, and if wanted alias, role, background, …",
            panel="Markers",
            metavar="FILE",
            default="the file's channels by name",
        ),
    ] = None


class Channels:
    """What becomes of the channels of multiplex slides."""

    channels_as: Annotated[
        str,
        option("per-channel, mean, concat or rgb:RED,GREEN,BLUE.", panel="Markers"),
    ] = "per-channel"
    normalize: Annotated[
        str | None,
        option(
            "dtype, fixed, percentile:LO,HI, zscore, arcsinh:C or none.",
            panel="Markers",
            default="fixed where the panel has every max, else dtype",
        ),
    ] = None
    normalize_fit: Annotated[
        Path | None,
        option(
            "CSV of slide_id or path: one scale for all, measured on these slides.",
            panel="Markers",
            metavar="FILE",
        ),
    ] = None
    background: Annotated[
        str | None,
        option("NAME[:FACTOR], subtracted from all other markers.", panel="Markers"),
    ] = None
    missing_marker: Annotated[
        str, option("error, zero or drop, where a slide lacks a marker.", panel="Markers")
    ] = "error"
    recipe: Annotated[
        str | None,
        option(
            "fluoroformer: a paper's scale and background; in run its tissue and tiles too.",
            panel="Markers",
        ),
    ] = None


class Pictures:
    """What segmentation shows a person."""

    overlay: Annotated[bool, option("Write overlays/<slide_id>.png.", panel="Tissue")] = True
    geojson: Annotated[
        bool, option("Write geojson/<slide_id>.geojson for QuPath.", panel="Tissue")
    ] = False


class Scale:
    """Which tiles."""

    mpp: Annotated[float, option("µm/px of a tile.", panel="Tiles")] = 0.5
    mag: Annotated[float | None, option("The same as --mpp 10/MAG.", panel="Tiles")] = None
    tile_size: Annotated[int, option("Side of a tile in px.", panel="Tiles")] = 256
    overlap: Annotated[str, option("px, or a share such as 50%.", panel="Tiles")] = "0"
    mpp_tolerance: Annotated[
        float, option("Relative difference within which a level is used as it is.", panel="Tiles")
    ] = 0.001
    allow_upsample: Annotated[
        bool, option("Let a tile be finer than the slide.", "--allow-upsample", panel="Tiles")
    ] = False


class LeastTissue:
    """Which tiles of a grid are used."""

    min_tissue: Annotated[
        float, option("Least share of tissue in a tile that is embedded.", panel="Tiles")
    ] = 0.1


class Coordinates:
    """Coordinates for other programs."""

    coords: Annotated[
        str | None, option("csv or jsonl: stream the coordinates to stdout.", panel="Output")
    ] = None


class Features:
    """Which backbones, on which machine part, stored how."""

    backbone: Annotated[
        list[str],
        option(
            "resnet50, resnet50-full, uni, timm:…, torchvision:…, hf-hub:…, local-dir:…; "
            "each tile is decoded once for all of them.",
            panel="Backbone",
        ),
    ] = ["resnet50"]  # noqa: RUF012 a default that Typer copies
    weights: Annotated[
        list[str] | None,
        option("File, folder or random:SEED; one for each --backbone.", panel="Backbone"),
    ] = None
    offline: Annotated[bool, option("Open no internet socket.", "--offline", panel="Backbone")] = (
        False
    )
    allow_geometry_mismatch: Annotated[
        bool,
        option(
            "Embed tiles of an mpp the backbone was not made for.",
            "--allow-geometry-mismatch",
            panel="Backbone",
        ),
    ] = False
    dtype: Annotated[
        str, option("How features are stored: float16 or float32.", panel="Backbone")
    ] = "float16"
    engine: Annotated[str, option("torch, or openvino (CPU, an extra).", panel="Compute")] = "torch"
    precision: Annotated[
        str, option("auto (CPU fp32, CUDA bf16), fp32, bf16 or fp16.", panel="Compute")
    ] = "auto"
    device: Annotated[
        str,
        option(
            "auto, cpu, cuda or cuda:N; with cuda:0,cuda:1 a worker process on each.",
            panel="Compute",
        ),
    ] = "auto"
    batch_size: Annotated[
        int | None,
        option(
            "Tiles per forward pass, or markers of tiles.",
            panel="Compute",
            default="CPU 8, CUDA what fits, to 256",
            least=1,
        ),
    ] = None
    readers: Annotated[
        int | None,
        option("Threads that read tiles ahead.", panel="Compute", default="the cores", least=1),
    ] = None
    fast_downsample: Annotated[
        bool,
        option(
            "Decode JPEG tiles straight at 1/2, 1/4 or 1/8: near to the mean, not equal to it.",
            "--fast-downsample",
            panel="Compute",
        ),
    ] = False
    max_bad_tiles: Annotated[
        str, option("Unreadable tiles above which a slide fails.", panel="Compute")
    ] = "1%"


class WhichGrid:
    """Which tiles of a project that has several grids."""

    grid: Annotated[
        str | None, option("The grid's key, where a store has several.", panel="Input")
    ] = None
