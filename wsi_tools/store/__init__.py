"""The store: what is on disk of a slide, and its only reader and writer.

Its names are imported when they are first asked for: who only counts stores needs no Zarr.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

HOMES = {
    "FailureRecord": "project",
    "FeatureStore": "reading",
    "FeatureWriter": "features",
    "Lease": "leases",
    "Project": "project",
    "SlideRecord": "records",
    "StoreWriter": "writing",
    "Watch": "leases",
    "lease": "leases",
    "stores_in": "project",
    "torn": "integrity",
}
"""Name -> the module of this room that it is imported from."""

if TYPE_CHECKING:
    from wsi_tools.store.features import FeatureWriter
    from wsi_tools.store.integrity import torn
    from wsi_tools.store.leases import Lease, Watch, lease
    from wsi_tools.store.project import FailureRecord, Project, stores_in
    from wsi_tools.store.reading import FeatureStore
    from wsi_tools.store.records import SlideRecord
    from wsi_tools.store.writing import StoreWriter

__all__ = [
    "FailureRecord",
    "FeatureStore",
    "FeatureWriter",
    "Lease",
    "Project",
    "SlideRecord",
    "StoreWriter",
    "Watch",
    "lease",
    "stores_in",
    "torn",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
