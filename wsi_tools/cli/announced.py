"""The verbs before one is called: where each is written, and the line that lists it.

A verb's module is imported when the verb is called: the list of verbs needs none of them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["VERBS", "Announced"]


class Announced(NamedTuple):
    """A verb as it is listed.

    Attributes:
        panel: the box it stands in.
        module: of `wsi_tools.cli`, which has a function of the verb's name.
        says: the first line of that function.
        bare: it means something without arguments; the others then show their help.
    """

    panel: str
    module: str
    says: str
    bare: bool = False


VERBS: Mapping[str, Announced] = MappingProxyType(
    {
        "info": Announced(
            "Prepare",
            "prepare",
            "Say what slides are: reader, size, levels, resolution with its sources, channels.",
        ),
        "segment": Announced(
            "Prepare",
            "prepare",
            "Find tissue and keep it: outlines with holes, a mask, a thumbnail.",
        ),
        "tile": Announced(
            "Prepare",
            "prepare",
            "Lay a grid of tiles of an exact physical size over tissue, found first if missing.",
        ),
        "embed": Announced(
            "Prepare",
            "embed",
            "Embed the tiles of a project (or of slides, tiled first) into rows of features.",
        ),
        "run": Announced(
            "Prepare",
            "embed",
            "Segment, tile and embed, slide by slide: from files to features in one command.",
        ),
        "split-channels": Announced(
            "Prepare",
            "split_channels",
            "Write every marker of multiplex slides as a pyramid of its own.",
        ),
        "splits": Announced(
            "Learn",
            "learn",
            "Divide a cohort by patients into folds of training, validation and test; "
            "or audit a split.",
        ),
        "train": Announced(
            "Learn",
            "train",
            "Train a model on every fold of a cohort, and test it on patients it has not seen.",
        ),
        "predict": Announced(
            "Learn",
            "predict",
            "Say what a trained model makes of slides; a run's folds are averaged, "
            "with their spread.",
        ),
        "evaluate": Announced(
            "Learn",
            "evaluate",
            "Measure predictions against a cohort: metrics with intervals, groups, curves.",
        ),
        "models": Announced(
            "Learn",
            "learn",
            "List the models, or describe one: parameters and defaults, attention, tasks, paper.",
            bare=True,
        ),
        "backbones": Announced(
            "Learn",
            "embed",
            "List the backbones, or describe one: width, geometry, licence, where its weights are.",
            bare=True,
        ),
        "heatmap": Announced(
            "Look",
            "heatmap",
            "Show what a model looked at: overlays, QuPath tiles, pyramids, tables, top tiles.",
        ),
        "report": Announced(
            "Look",
            "report",
            "Put a run on one page that holds all it shows: curves, metrics, slides, provenance.",
        ),
        "status": Announced(
            "Manage",
            "manage",
            "Say what every store of a project holds and what failed; "
            "one small file is read for each.",
        ),
    }
)
