"""The store: what is on disk of a slide, and its only reader and writer."""

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
