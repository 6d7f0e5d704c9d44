"""A store, open for reading."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_tools.errors import InputError, StoreError, WsiToolsError
from wsi_tools.slide import SlideInfo
from wsi_tools.store import grids
from wsi_tools.store.chunks import RowChunks, Rows
from wsi_tools.store.copying import Copiers
from wsi_tools.store.layout import read_root
from wsi_tools.store.records import SlideRecord, parse_slide
from wsi_tools.tiling import TileGrid
from wsi_tools.tissue import TissueMask, parse_regions
from wsi_tools.tissue.contours import only_polygons

if TYPE_CHECKING:
    import zarr


class FeatureStore:
    """One slide's store. Nothing is written, and no lock is needed.

    Every part is read when it is asked for, and raises `StoreError` where it is missing or torn.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def slide_id(self) -> str:
        """The slide's name: the store's, less the suffix."""
        return self.path.stem

    @cached_property
    def record(self) -> SlideRecord:
        """The slide as it was recorded."""
        return parse_slide(self.path, read_root(self.path)["slide"])

    @property
    def slide(self) -> SlideInfo:
        """The slide's facts, without its file."""
        return self.record.info()

    @property
    def has_tissue(self) -> bool:
        """Whether the slide was segmented."""
        return (self.path / "tissue" / "zarr.json").is_file()

    def tissue_request(self) -> dict[str, Any]:
        """What the segmentation was asked to do."""
        request: dict[str, Any] = self._attributes("tissue")["request"]
        return request

    def tissue(self) -> TissueMask:
        """The tissue of the slide."""
        attributes = self._attributes("tissue")
        with _reading(self.path, "tissue"):
            pieces = parse_regions(attributes["outlines"], f"{self.path}/tissue")
            return TissueMask(
                outlines=only_polygons(piece.area for piece in pieces),
                mask=self._values("tissue/mask"),
                scale=tuple(attributes["scale"]),
                thumbnail=self._values("tissue/thumbnail"),
                method=attributes["method"],
                parameters=attributes["parameters"],
                regions=parse_regions(attributes["regions"], f"{self.path}/tissue"),
            )

    def grid_keys(self) -> tuple[str, ...]:
        """The keys of the grids, in order."""
        return grids.names(self.path / "grids")

    def choose_grid(self, key: str | None) -> str:
        """The grid that is meant: the one named, or the only one.

        Raises:
            StoreError: this store has no tiles, or not that grid.
            InputError: it has several, and none was named.
        """
        keys = self.grid_keys()
        if key in keys or (key is None and len(keys) == 1):
            return key or keys[0]
        if not keys:
            raise StoreError(f"{self.path}: has no tiles; run wsitools tile first")
        problem = f"{self.path}: has the grids {', '.join(keys)}; choose one with --grid"
        raise InputError(problem) if key is None else StoreError(f"{problem}, not {key}")

    def grid_attributes(self, key: str) -> dict[str, Any]:
        """What a grid was asked to be, and what is read for it."""
        return self._attributes(f"grids/{key}")

    def tiles(self, key: str) -> int:
        """N, the number of tiles of a grid."""
        node = f"grids/{key}/coords"
        return (self._chunks(node) or self._array(node)).shape[0]

    def grid(self, key: str) -> TileGrid:
        """One grid: row i is tile i for ever."""
        columns = {name: self._values(f"grids/{key}/{name}") for name in grids.COLUMNS}
        attributes = self._attributes(f"grids/{key}")
        with _reading(self.path, f"grids/{key}"):
            return grids.from_disk(attributes, columns)

    def valid(self, key: str) -> NDArray[np.bool_]:
        """(N,) bool: False where the pixels of a tile could not be read."""
        return self._values(f"grids/{key}/valid").astype(bool)

    def feature_names(self, key: str) -> tuple[str, ...]:
        """The complete sets of features on a grid, in order."""
        return grids.names(self.path / "grids" / key / "features")

    def features(self, key: str, name: str) -> "zarr.Array[Any]":
        """One set of features, (N, D) or (N, M, D), read as it is indexed."""
        return self._array(_features(key, name))

    def feature_rows(self, key: str, name: str) -> "FeatureRows":
        """One set of features, to be read at the speed of a copy.

        Raises:
            StoreError: there is no such set, or its description is torn.
        """
        node = _features(key, name)
        return FeatureRows(self.path, node, self._chunks(node) or self._array(node))

    def feature_attributes(self, key: str, name: str) -> dict[str, Any]:
        """What made a set of features: request, card, weights, versions, fingerprint."""
        return self._attributes(_features(key, name))

    def _attributes(self, node: str) -> dict[str, Any]:
        with _reading(self.path, node):
            attributes = json.loads((self.path / node / "zarr.json").read_bytes())["attributes"]
            return dict(attributes)

    def _values(self, node: str) -> NDArray[Any]:
        """All of an array, compared with its checksums."""
        chunks = self._chunks(node)
        with _reading(self.path, node):
            if chunks is None:
                return np.asarray(self._array(node)[...])
            return chunks.read(verify=True)

    def _chunks(self, node: str) -> RowChunks | None:
        with _reading(self.path, node):
            return RowChunks.of(self.path / node)

    def _array(self, node: str) -> "zarr.Array[Any]":
        import zarr  # half a second, for arrays that another hand laid out

        with _reading(self.path, node):
            found = zarr.open(self.path / node, mode="r")
        if not isinstance(found, zarr.Array):
            raise StoreError(f"{self.path}: {node} is no array; delete the store and run again")
        return found


@dataclass(frozen=True)
class FeatureRows:
    """One set of features whose description was read once.

    Attributes:
        store: the store's folder.
        node: the set's place in it.
        source: its files, or Zarr's array where another hand laid it out.
    """

    store: Path
    node: str
    source: "RowChunks | zarr.Array[Any]"

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D) or (N, M, D)."""
        return self.source.shape

    def read(
        self, rows: Rows | None = None, *, verify: bool = False, copiers: Copiers | None = None
    ) -> NDArray[Any]:
        """Rows in the dtype they are stored in.

        Args:
            rows: which, best in ascending order; None for all.
            verify: compare all of the set with its checksums.
            copiers: threads that help where there is much to copy.

        Raises:
            StoreError: the set is torn.
        """
        with _reading(self.store, self.node):
            if not isinstance(self.source, RowChunks):  # Zarr verifies what it reads
                values = np.asarray(self.source[...])
                return values if rows is None else values[rows]
            return self.source.read(rows, verify=verify, copiers=copiers)


WRONG_KIND = (IsADirectoryError, NotADirectoryError)  # of what lies where a file should


@contextmanager
def _reading(store: Path, node: str) -> Iterator[None]:
    """Turn whatever a torn file leads to into the one error that names it."""
    try:
        yield
    except WsiToolsError:
        raise
    except FileNotFoundError:
        raise StoreError(f"{store}: there is no {node}") from None
    except (ValueError, TypeError, LookupError, *WRONG_KIND) as error:
        raise StoreError(
            f"{store}: {node} is torn ({error}); delete the store and run again"
        ) from None


def _features(key: str, name: str) -> str:
    return f"grids/{key}/features/{name}"
