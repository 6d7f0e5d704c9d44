"""Preparation: one slide from its file to its store, as the work that a worker does.

This door imports nothing heavy: the supervisor holds it, and a worker opens the rooms behind it.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsi_tools.errors import SlideError
from wsi_tools.execution import Report
from wsi_tools.preparation.markers import CohortScale, Markers
from wsi_tools.preparation.requests import Embedding, Reading, Segmenting, Task, Tiling
from wsi_tools.slide import Slide, open_slide

if TYPE_CHECKING:
    from wsi_tools.preparation.features import Backbones
    from wsi_tools.preparation.forecast import Forecast, Prospect
    from wsi_tools.store import FeatureStore, StoreWriter, Watch
    from wsi_tools.tiling import TileGrid

__all__ = [
    "CohortScale",
    "Embedding",
    "Markers",
    "Preparation",
    "Prepared",
    "Reading",
    "Segmenting",
    "Task",
    "Tiling",
]


@dataclass(frozen=True)
class Prepared:
    """What became of one slide.

    Attributes:
        store: where it is.
        tissue_mm2: the area of its tissue.
        grid: the key of its grid; None where it was not tiled.
        tiles: in that grid.
        tiles_with_tissue: those that have the least tissue that embedding asks for.
        features: the sets of features asked for.
        stages: those that had something to do: "segment", "tile", "embed".
        embedded: tiles embedded now, not counting what was there.
        unread: tiles whose pixels could not be read now.
        seconds: where the time of embedding went.
        warnings: what a person should know.
    """

    slide_id: str
    store: str
    tissue_mm2: float
    grid: str | None = None
    tiles: int | None = None
    tiles_with_tissue: int | None = None
    features: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    embedded: int = 0
    unread: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preparation:
    """The stages asked for, up to the last; what is there already is kept.

    Tissue that is not insisted on, and tiles that are None, are what the store has; where it has
    nothing, their defaults apply.
    """

    until: Literal["segment", "tile", "embed"]
    reading: Reading = field(default_factory=Reading)
    segmenting: Segmenting = field(default_factory=lambda: Segmenting(insists=False))
    tiling: Tiling | None = None
    embedding: Embedding | None = None
    pictures: tuple[str, ...] = ()
    overwrite: bool = False
    dry_run: bool = False
    command: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, task: Task, report: Report) -> "Prepared | Forecast":
        """Prepare one slide, holding its lease; or foresee what that would do."""
        from wsi_tools.store import Project, StoreWriter, lease
        from wsi_tools.store.disk import naming_the_disk

        if self.dry_run:
            return self._foreseen(task)
        project = Project(task.store.parent)
        with (
            naming_the_disk(project.path),
            lease(project.leases, task.slide_id, watch=self.watch) as held,
        ):
            writer = StoreWriter(task.store, held, command=self.command, overwrite=self.overwrite)
            steps = _Steps(report)
            with self._opened(task, writer) as slide:
                done = self._prepared(slide, task, writer, steps)
            return replace(done, stages=tuple(steps.taken))

    def crew(self, workers: int) -> "list[Preparation]":
        """This for each of several workers: of as many, and no fewer than there are devices."""
        if self.embedding is None:
            return [self] * workers
        each = [replace(self.embedding, device=name) for name in self.embedding.devices]
        places = islice(cycle(each), max(workers, len(each)))
        return [replace(self, embedding=place) for place in places]

    @cached_property
    def watch(self) -> "Watch":
        """What this worker has seen of other workers' leases."""
        from wsi_tools.store import Watch

        return Watch()

    @cached_property
    def backbones(self) -> "Backbones":
        """The backbones, each loaded once for all the slides of a worker."""
        from wsi_tools.preparation.features import Backbones

        assert self.embedding is not None
        return Backbones(self.embedding)

    @cached_property
    def prospects(self) -> "tuple[Prospect, ...]":
        """What a dry run finds out about each backbone, once for all the slides of a worker."""
        from wsi_tools.preparation.forecast import prospects

        return prospects(self.embedding) if self.embedding else ()

    def _foreseen(self, task: Task) -> "Forecast":
        from wsi_tools.preparation.forecast import Outlook

        with self.opened(task) as slide:
            return Outlook(self, slide, task).forecast()

    def opened(self, task: Task) -> AbstractContextManager[Slide]:
        """The slide of a task, by its store or its path, for looking at it alone."""
        from wsi_tools.store import FeatureStore

        if task.recorded:
            return _reopened(FeatureStore(task.store))
        return self.reading.open(task.source)

    @contextmanager
    def _opened(self, task: Task, writer: "StoreWriter") -> Iterator[Slide]:
        """The slide, and a store that is certainly its own."""
        if task.recorded:
            with _reopened(writer.store) as slide:
                yield slide
            return
        with self.reading.open(task.source) as slide:
            writer.claim(slide.info)
            yield slide

    def _prepared(
        self, slide: Slide, task: Task, writer: "StoreWriter", steps: "_Steps"
    ) -> Prepared:
        from wsi_tools.preparation import stages
        from wsi_tools.store import Project

        tissue = stages.find_tissue(slide, writer, self.segmenting, steps)
        anew = "segment" in steps.taken
        stages.draw(tissue, Project(task.store.parent), task.slide_id, self.pictures, anew=anew)
        mpp_x, mpp_y = slide.info.mpp
        done = Prepared(
            task.slide_id,
            str(task.store),
            tissue_mm2=round(tissue.outlines.area * mpp_x * mpp_y / 1e6, 4),
            warnings=slide.info.warnings,
        )
        if self.until == "segment":
            return done
        key, grid = self._grid(slide, writer, steps)
        enough = grid.tissue >= self.least_tissue(grid)
        done = replace(done, grid=key, tiles=len(grid), tiles_with_tissue=int(enough.sum()))
        return done if self.until == "tile" else self._embedded(done, slide, writer, steps)

    def least_tissue(self, grid: "TileGrid") -> float:
        """The least tissue of a tile that is embedded: as asked, or as the grid has it."""
        asked = self.embedding.min_tissue if self.embedding else None
        return grid.spec.min_tissue if asked is None else asked

    def _grid(self, slide: Slide, writer: "StoreWriter", report: Report) -> "tuple[str, TileGrid]":
        """The grid to go on with: the one asked for, or one that is there."""
        from wsi_tools.preparation import stages

        store = writer.store
        named = self.embedding.grid if self.embedding else None
        if self.tiling is None and (named or store.grid_keys()):
            key = store.choose_grid(named)
            return key, store.grid(key)
        return stages.lay_grid(slide, writer, self.tiling or Tiling(), report)

    def _embedded(
        self, done: Prepared, slide: Slide, writer: "StoreWriter", report: Report
    ) -> Prepared:
        from wsi_tools.preparation.features import Stage, embed_grid

        assert self.embedding is not None
        assert done.grid is not None
        stage = Stage.of(slide, writer, done.grid, self.embedding)
        made = embed_grid(stage, self.backbones, report)
        return replace(
            done,
            features=made.names,
            embedded=made.spent.tiles,
            unread=len(made.spent.unread),
            seconds=made.spent.seconds(),
            warnings=(*done.warnings, *made.warnings),
        )


@dataclass
class _Steps:
    """A report that remembers which stages had something to do."""

    report: Report
    taken: list[str] = field(default_factory=list)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self.taken:
            self.taken.append(stage)
        self.report(stage, done, total)


@contextmanager
def _reopened(store: "FeatureStore") -> Iterator[Slide]:
    """The slide of a store, from where it was recorded, at the scale that was recorded."""
    record = store.record
    path = Path(record.path)
    if not path.exists():
        raise SlideError(
            f"{path}: the slide of {store.path.name} is gone; run wsitools tile with its new place "
            "and the same project"
        )
    with open_slide(path, reader=record.reader) as slide:
        if slide.info.fingerprint != record.fingerprint:
            raise SlideError(f"{path}: not the file that {store.path.name} was made from")
        slide.info = replace(slide.info, resolution=store.slide.resolution)
        yield slide
