"""A slide's own pixels, where its file is still there: behind the heat, and of single tiles."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsi_tools.errors import SlideError
from wsi_tools.slide import Slide, open_slide
from wsi_tools.store import FeatureStore

__all__ = ["slide_of"]

logger = logging.getLogger(__name__)


@contextmanager
def slide_of(store: FeatureStore) -> Iterator[Slide | None]:
    """The slide of a store, open; None where the file is gone, or is another one by now."""
    slide = _opened(store)
    try:
        yield slide
    finally:
        if slide is not None:
            slide.close()


def _opened(store: FeatureStore) -> Slide | None:
    record = store.record
    if not Path(record.path).is_file():
        return None
    try:
        slide = open_slide(record.path, reader=record.reader)
    except SlideError as error:
        logger.warning("%s: %s", store.slide_id, error)
        return None
    if slide.info.fingerprint != record.fingerprint:
        slide.close()
        logger.warning("%s: %s is another file than was tiled", store.slide_id, record.path)
        return None
    return slide
