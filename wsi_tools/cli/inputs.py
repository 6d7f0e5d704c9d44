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
from wsi_tools.store.layout import is_store, read_root
from wsi_tools.store.project import Project, stores_in


@dataclass(frozen=True)
class Inputs:
    """What was named: slides to open, stores that exist, and slides that share a name."""

    sources: tuple[Source, ...] = ()
    stores: tuple[Path, ...] = ()
    refused: tuple[tuple[Path, str], ...] = ()

    def tasks(self, out: Path | None) -> tuple[Task, ...]:
        """Where each goes: slides into the project `out`, stores where they are.

        Raises:
            InputError: slides were named, and no project.
            DataError: nothing was named that exists.
        """
        if self.sources and out is None:
            raise InputError(
                f"{self.sources[0].path}: is a slide; say where its store goes with --out"
            )
        if not (self.sources or self.stores or self.refused):
            raise DataError("no slide and no store among the inputs; check the paths")
        project = Project(out or Path())
        slides = tuple(Task(each, project.store(each.slide_id)) for each in self.sources)
        return slides + tuple(_recorded(store) for store in self.stores)


def read_inputs(
    named: Sequence[str] | None, *, recursive: bool, manifest: Path | None, stdin: bool = True
) -> Inputs:
    """Sort the arguments, the lines of stdin for ``-``, and the rows of a manifest.

    A project or store among them stands for what is in it; with a manifest beside projects, only
    for the slides in both.
    """
    paths = list(_lines(named or ()))
    stores = [store for path in paths for store in _stores(Path(path))]
    slides = [path for path in paths if not _is_project(Path(path))]
    found = discover(slides, recursive=recursive)
    for path in found.ignored:
        terminal.warn(f"{path}: no reader knows this suffix; left out")
    listed = read_manifest(manifest) if manifest else ()
    if stores and manifest:
        wanted = {source.slide_id for source in listed}
        return Inputs(found.sources, tuple(s for s in stores if s.stem in wanted), found.refused)
    return Inputs(_distinct((*found.sources, *listed)), tuple(stores), found.refused)


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
    return is_store(path) or (path.is_dir() and any(is_store(each) for each in path.iterdir()))


def _stores(path: Path) -> tuple[Path, ...]:
    return tuple(stores_in(path)) if _is_project(path) else ()


def _distinct(sources: Iterable[Source]) -> tuple[Source, ...]:
    """One source per name; a name that stands for two files is an error."""
    known: dict[str, Source] = {}
    for source in sources:
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
