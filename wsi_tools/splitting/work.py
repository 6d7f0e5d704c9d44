"""One slide after the other split into its markers; what is there already is kept.

    <out>/<slide_id>/<marker>.ome.zarr (or .ome.tiff)
    <out>/<slide_id>/split.json: what was asked for, and what each file is

A slide's folder appears whole, by one rename, under the slide's lease.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wsi_tools.errors import SlideError, StoreError
from wsi_tools.execution import Report, available_cores

if TYPE_CHECKING:
    from wsi_tools.channels import MatchedMarker, MatchedPanel, Statistics
    from wsi_tools.slide import Slide
    from wsi_tools.splitting.request import SplitRequest
    from wsi_tools.store import Watch
    from wsi_tools.store.files import LeasedFolder

__all__ = ["Foreseen", "Split", "Splitting"]

RECORD = "split.json"
MOST_THREADS = 4  # each holds a tile or two; disks give no more


class SlideTask(Protocol):
    """A slide to be split."""

    @property
    def slide_id(self) -> str:
        """The slide's name."""
        ...

    @property
    def store(self) -> Path:
        """Its place in the output folder; what lies beside it is the folder's."""
        ...


@dataclass(frozen=True)
class Split:
    """What became of a slide: its folder, the file of each marker, and whether it was new."""

    slide_id: str
    folder: str
    files: Mapping[str, str]
    levels: int
    done: bool
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Foreseen:
    """What would become of a slide: `bytes` are those of all pixels before compression."""

    slide_id: str
    folder: str
    files: Mapping[str, str]
    levels: int
    bytes: int
    there: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Splitting:
    """Splits slides, in a worker process.

    Attributes:
        opened: opens the slide of a task.
        request: what is asked for.
        measured: gives the scale of a slide's markers, for a rule that needs one.
        overwrite: replace what another request made.
        dry_run: write nothing.
        version: of this program, for the record.
    """

    opened: Callable[[Any], AbstractContextManager["Slide"]]
    request: "SplitRequest"
    measured: Callable[[Any, Report], tuple["Statistics", str]] | None = None
    overwrite: bool = False
    dry_run: bool = False
    version: str = ""

    def __call__(self, task: SlideTask, report: Report) -> Split | Foreseen:
        """Split one slide, or foresee that.

        Raises:
            SlideError: it is brightfield, or cannot be read.
            DataError: it lacks a marker.
            StoreError: another request made what is there.
        """
        from wsi_tools.store import Project, lease
        from wsi_tools.store.disk import naming_the_disk
        from wsi_tools.store.files import LeasedFolder

        report("open", 0, 1)
        project, place = Project(task.store.parent), task.store.parent / task.slide_id
        with self.opened(task) as slide:
            job = self._job(slide, task, report)
            there = job.is_at(place, overwrite=self.overwrite)
            if self.dry_run:
                return job.foreseen(place, there=there)
            if not there:
                with (
                    naming_the_disk(project.path),
                    lease(project.leases, task.slide_id, watch=self.watch) as held,
                ):
                    if not job.is_at(place, overwrite=self.overwrite):  # nobody did it meanwhile
                        job.write(LeasedFolder(place, held), report)
            return job.told(place, done=not there)

    def _job(self, slide: "Slide", task: SlideTask, report: Report) -> "_Job":
        if not slide.info.multiplex:
            raise SlideError(f"{slide.info.path.name}: is brightfield; its colours are no markers")
        matched = self.request.matched(slide.info)
        statistics = None
        if self.request.rule.is_fitted:
            assert self.measured is not None
            statistics, _ = self.measured(task, report)
        return _Job(task.slide_id, slide, self.request, matched, statistics, self.version)

    @cached_property
    def watch(self) -> "Watch":
        """What this worker has seen of other workers' leases."""
        from wsi_tools.store import Watch

        return Watch()


@dataclass(frozen=True)
class _Job:
    """An open slide, and what is to be made of it."""

    slide_id: str
    slide: "Slide"
    request: "SplitRequest"
    matched: "MatchedPanel"
    statistics: "Statistics | None"
    version: str

    @cached_property
    def files(self) -> dict[str, str]:
        """The file of each marker."""
        return self.request.files(self.matched)

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level."""
        from wsi_tools.splitting.pyramid import level_sizes

        return level_sizes(self.slide.info.size)

    @cached_property
    def words(self) -> dict[str, Any]:
        """What decides every value that is written."""
        return self.request.words(self.slide.info, self.matched, self.statistics)

    def is_at(self, place: Path, *, overwrite: bool) -> bool:
        """Whether the same request made what lies there already.

        Raises:
            StoreError: another request made it, or it is nothing of ours.
        """
        from wsi_tools.store.requests import differs

        if not place.exists():
            return False
        try:
            found = json.loads((place / RECORD).read_text())["request"]
        except (OSError, ValueError, LookupError, TypeError):
            raise StoreError(
                f"{place}: is no split slide, for it has no {RECORD}; choose another --out"
            ) from None
        return not differs(self.words, found, place, "the split", overwrite=overwrite)

    def foreseen(self, place: Path, *, there: bool) -> Foreseen:
        """What `write` would make."""
        pixels = sum(width * height for width, height in self.sizes)
        per_pixel = sum(_itemsize(self.request.stored_dtype(m)) for m in self.matched.markers)
        return Foreseen(
            self.slide_id,
            str(place),
            self.files,
            levels=len(self.sizes),
            bytes=pixels * per_pixel,
            there=there,
            missing=self.matched.missing,
        )

    def told(self, place: Path, *, done: bool) -> Split:
        """What was made, or had been."""
        return Split(
            self.slide_id,
            str(place),
            self.files,
            levels=len(self.sizes),
            done=done,
            missing=self.matched.missing,
            warnings=(*self.slide.info.warnings, *self.matched.warnings),
        )

    def write(self, folder: "LeasedFolder", report: Report) -> None:
        """Make the slide's folder, beside its place until it is whole."""
        from wsi_tools.store.files import discard, left_beside

        for left in left_beside(folder.path, "part"):
            discard(left)
        part = folder.part(folder.path)
        part.mkdir(parents=True)
        try:
            self._fill(part, report)
            folder.put(part, folder.path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _fill(self, part: Path, report: Report) -> None:
        from wsi_tools.store.requests import signed

        rows = _Rows(report, sum(height for _, height in self.sizes) * len(self.files))
        with ThreadPoolExecutor(min(MOST_THREADS, available_cores())) as pool:
            for marker in self.matched.markers:
                self._write_marker(marker, part, pool, rows)
        record = signed(self.words, {"wsitools": self.version, "files": self.files})
        (part / RECORD).write_text(json.dumps(record, indent=1))

    def _write_marker(
        self, marker: "MatchedMarker", part: Path, pool: ThreadPoolExecutor, rows: "_Rows"
    ) -> None:
        """Stream the pyramid as OME-Zarr, and that into a TIFF if one is wanted."""
        from wsi_tools.splitting import ome_tiff, ome_zarr
        from wsi_tools.splitting.plane import marker_plane
        from wsi_tools.splitting.pyramid import streamed

        file, is_tiff = part / self.files[marker.name], self.request.form == "ome-tiff"
        folder = part / f".{file.name}.levels" if is_tiff else file
        dtype, told = self.request.stored_dtype(marker), self._described(marker)
        levels = ome_zarr.create(folder, self.slide.info.size, dtype, told)
        with marker_plane(self.slide, self.matched, marker, self.request, self.statistics) as block:
            for count in streamed(block, levels, dtype, pool):
                rows.more(count)
        if is_tiff:
            ome_tiff.write(file, levels, told, rows.still)
            shutil.rmtree(folder)

    def _described(self, marker: "MatchedMarker") -> dict[str, Any]:
        info = self.slide.info
        own = next(each for each in info.channels if each.index == marker.channel)
        return {
            "name": marker.name,
            "image": self.slide_id,
            "mpp": info.mpp if info.resolution else None,
            "exposure_ms": marker.marker.exposure_ms or own.exposure_ms,
            "provenance": {
                "source": {
                    "slide_id": self.slide_id,
                    "file": info.path.name,
                    "fingerprint": info.fingerprint,
                    "reader": info.reader,
                    "channel": own.index,
                    "channel_name": own.name,
                },
                "panel": self.matched.panel.name,
                "marker": marker.name,
                "background": self._background(marker),
                "normalize": str(self.request.rule),
                "range": marker.marker.range,
                "statistics": self.statistics.of(marker.name) if self.statistics else None,
                "wsitools": self.version,
            },
        }

    def _background(self, marker: "MatchedMarker") -> dict[str, Any] | None:
        if marker.background is None:
            return None
        return {"marker": marker.marker.background, "scale": marker.background_scale}


@dataclass
class _Rows:
    """How many rows of pixels are written, told to the supervisor."""

    report: Report
    total: int
    done: int = field(default=0)

    def more(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        self.still()

    def still(self) -> None:
        """Show a sign of life."""
        self.report("split", self.done, self.total)


def _itemsize(dtype: str) -> int:
    return {"uint8": 1, "uint16": 2, "float32": 4}[dtype]
