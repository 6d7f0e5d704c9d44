"""From what stands on the command line to the slides and stores that are meant."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_tools.cli import terminal
from wsi_tools.errors import DataError, InputError, StoreError
from wsi_tools.preparation import Task
from wsi_tools.slide.discovery import Source, discover, read_manifest
from wsi_tools.slide.folders import is_ome_zarr, is_slide_folder
from wsi_tools.store.layout import is_store, read_root
from wsi_tools.store.project import Project, stores_in


@dataclass(frozen=True)
class Inputs:
    """What was named.

    Attributes:
        sources: slides to open.
        stores: those that exist.
        refused: slides whose names cannot be told apart, each with the reason.
        project: where slides without a store go, if it was named as an input.
    """

    sources: tuple[Source, ...] = ()
    stores: tuple[Path, ...] = ()
    refused: tuple[tuple[Path, str], ...] = ()
    project: Path | None = None

    def tasks(self, out: Path | None) -> tuple[Task, ...]:
        """Where each goes: slides into the project `out`, stores where they are.

        Raises:
            DataError: no project was named, and an input is not there.
            InputError: slides were named, and no project; or stores of another project.
        """
        home = out or self.project
        if self.sources and home is None:
            path = self.sources[0].path
            if not path.exists():
                raise DataError(f"{path}: no slide, store or project there; check the path")
            raise InputError(f"{path}: is a slide; say where its store goes with --out")
        if out and (strange := [s for s in self.stores if s.parent.resolve() != out.resolve()]):
            raise InputError(
                f"{strange[0]}: is not in {out}, and stores stay where they are; "
                "leave --out away, or name the slides"
            )
        return self.slides(home or Path()) + self.recorded()

    def slides(self, home: Path) -> tuple[Task, ...]:
        """The slides, with their places in a project."""
        project = Project(home)
        return tuple(Task(each, project.store(each.slide_id)) for each in self.sources)

    def recorded(self) -> tuple[Task, ...]:
        """The stores, with the slides they remember."""
        return tuple(_recorded(store) for store in self.stores)


def read_inputs(named: Sequence[str] | None, *, recursive: bool, manifest: Path | None) -> Inputs:
    """Sort the arguments, the lines of stdin for ``-``, and the rows of a manifest.

    A project or store among them stands for what is in it. Beside a manifest it stands for the
    slides in the manifest: those that have no store yet are opened.

    Raises:
        DataError: nothing was named that exists, or the manifest cannot be read.
    """
    paths = [Path(path) for path in _lines(named or ())]
    projects = [path for path in paths if _is_project(path)]
    found = discover([path for path in paths if path not in projects], recursive=recursive)
    for path in found.ignored:
        terminal.warn(f"{path}: no reader knows this suffix; left out")
    listed = read_manifest(manifest) if manifest else ()
    stores = [store for path in projects for store in stores_in(path)]
    if projects and manifest:
        stores = [store for store in stores if store.stem in {each.slide_id for each in listed}]
        listed = tuple(each for each in listed if each.slide_id not in {s.stem for s in stores})
    sources = _distinct(listed, found.sources)
    if not (sources or stores or found.refused):
        raise DataError("no slide and no store among the inputs; check the paths")
    folders = [path for path in projects if not is_store(path)]
    home = folders[0] if len(folders) == 1 else None
    return Inputs(sources, tuple(stores), found.refused, home)


def take_shard(tasks: Sequence[Task], shard: str | None) -> tuple[Task, ...]:
    """Every N-th task from the I-th, for ``I/N`` or ``auto``.

    Raises:
        InputError: not of that form, or I is not below N.
    """
    if shard is None:
        return tuple(tasks)
    variables = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
    text = "/".join(os.environ.get(name, "") for name in variables) if shard == "auto" else shard
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(f"--shard {text}: give I/N with 0 <= I < N, such as 0/4")
    return tuple(tasks)[int(index) :: int(count)]


def _lines(named: Iterable[str]) -> Iterable[str]:
    for text in named:
        if text == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield text


def _is_project(path: Path) -> bool:
    """Whether it is a store, or a folder with a store or a list of failures in it."""
    if is_slide_folder(path):
        return False
    if is_store(path) or not path.is_dir():
        return is_store(path)
    return Project(path).failures_csv.exists() or any(
        is_store(each) and not is_ome_zarr(each) for each in path.iterdir()
    )


def _distinct(listed: Sequence[Source], found: Sequence[Source]) -> tuple[Source, ...]:
    """One source per name and file, the manifest's first: it may know more."""
    known: dict[str, Source] = {}
    paths = {source.path for source in listed}
    for source in (*listed, *(each for each in found if each.path not in paths)):
        other = known.setdefault(source.slide_id.casefold(), source)
        if other.path != source.path:
            raise DataError(
                f"{source.path}: is called {source.slide_id}, as {other.path} is; "
                "give each a slide_id in the manifest"
            )
    return tuple(known.values())


def _recorded(store: Path) -> Task:
    """A task for a store that knows its slide; if it is torn, opening it will say so."""
    try:
        path = Path(read_root(store)["slide"]["path"])
    except (StoreError, KeyError):
        path = store
    return Task(Source(path, store.stem), store, recorded=True)
