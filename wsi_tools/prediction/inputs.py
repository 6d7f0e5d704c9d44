"""From what a model reads to the bags of a project; features of another kind are refused."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wsi_tools.checkpoint import Reads
from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.bags import Bags, open_bags
from wsi_tools.errors import DataError
from wsi_tools.mil import Bag
from wsi_tools.store.requests import difference

__all__ = ["as_read", "bags_for"]


def bags_for(reads: Reads, project: Path, cohort: Cohort) -> Bags:
    """The bags of a cohort as a model reads them.

    Raises:
        DataError: the project's features are of another encoder, geometry or shape.
        InputError: they are not there.
    """
    bags = open_bags(project, cohort, features=reads.features, min_tissue=reads.min_tissue)
    _refuse_other(reads.identity, bags.identity, project)
    return bags


def as_read(bag: Bag, case: Case, reads: Reads) -> Bag:
    """A case's tiles with its clinical record: as tables, or as covariates in every tile."""
    clinical = tuple(torch.tensor(scaler.encode(case.cells)) for scaler in reads.scalers)
    if not reads.covariates:
        return replace(bag, clinical=clinical)
    record, tiles = torch.cat(clinical), bag.features.float()
    features = torch.cat((tiles, record.expand(*tiles.shape[:-1], -1)), dim=-1)
    return replace(bag, features=features)


def _refuse_other(trained: Mapping[str, Any], found: Mapping[str, Any], project: Path) -> None:
    if changed := difference(trained, found):
        told = changed.replace(" asked", " in training").replace(" there", " here")
        raise DataError(
            f"{project}: its features are not of the kind the model was trained on ({told}); "
            "prepare these slides as the training slides were, or add --from-slides"
        )
