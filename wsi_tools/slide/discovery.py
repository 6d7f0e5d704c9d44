"""From what the user types to the slides it means: files, folders, patterns, manifests."""

import csv
import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_tools.errors import DataError
from wsi_tools.slide.companions import companions, one_per_dicom_series
from wsi_tools.slide.folders import is_ome_zarr, is_slide_folder
from wsi_tools.slide.naming import is_safe_id, slide_ids
from wsi_tools.slide.resolution import stated

__all__ = ["SUFFIXES", "Discovery", "Source", "discover", "read_manifest"]

SUFFIXES = {
    "openslide": (
        ".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif",
        ".dcm",
    ),
    "tiffslide": (".svs", ".tif", ".tiff", ".btf", ".ndpi", ".qptiff"),
    "image": (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"),
    "ome": (".tif", ".tiff", ".btf", ".qptiff"),
    "fluorescent-ndpi": (".ndpi",),
}  # fmt: skip
KNOWN = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
ZARR = ".zarr"  # a store, or a slide


@dataclass(frozen=True)
class Source:
    """A slide to be opened: where it lies, what it is called, and the manifest's µm/px if any."""

    path: Path
    slide_id: str
    mpp: float | None = None


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Attributes:
        sources: the slides, sorted by path.
        ignored: files in the folders given whose suffix no reader knows.
        refused: (path, reason) for slides that cannot be told apart by name.
    """

    sources: tuple[Source, ...]
    ignored: tuple[Path, ...] = ()
    refused: tuple[tuple[Path, str], ...] = ()


def discover(inputs: Iterable[str | Path], *, recursive: bool = False) -> Discovery:
    """Find the slides that files, folders and patterns stand for.

    A file that is named is always a slide, whatever its suffix and whether or not it exists
    (opening it will say). In a folder only known suffixes are, hidden files never. Parts of a
    slide in several files (see `companions`) are neither slides nor ignored. An OME-Zarr folder is
    a slide wherever it lies, a folder of single-channel TIFFs if it is named.

    Args:
        inputs: files, folders, patterns such as ``slides/*.svs``.
        recursive: look into folders within folders too.

    Raises:
        DataError: a pattern matches nothing.
    """
    named = [path for text in inputs for path in _expanded(Path(text))]
    folders = [path for path in named if path.is_dir() and not is_slide_folder(path)]
    listed = [path for folder in folders for path in _files(folder, recursive=recursive)]
    found = dict.fromkeys(path for path in (*named, *listed) if path not in folders)
    parts = {part for path in found for part in companions(path)}
    whole = [path for path in found if parts.isdisjoint((path, *path.parents))]
    explicit = set(named)
    slides = [path for path in whole if path in explicit or _is_known(path)]
    ignored = sorted(set(whole) - set(slides))
    return _named(sorted(one_per_dicom_series(slides)), tuple(ignored))


def read_manifest(path: Path) -> tuple[Source, ...]:
    """Read the slides a CSV table names.

    Columns: `path`, and if wanted `slide_id` and `mpp` (µm/px of level 0); any others are passed
    over, so `failures.csv` is a manifest. A relative path is taken from the manifest's folder, or
    from the current one if it exists only there.

    Raises:
        DataError: the table cannot be read or contradicts itself; with the line.
    """
    rows = tuple(_rows(path))
    ids = slide_ids(list(dict.fromkeys(row.path for row in rows if not row.slide_id)))
    sources = tuple(Source(row.path, row.slide_id or ids[row.path] or "", row.mpp) for row in rows)
    _refuse_duplicates(path, rows, sources)
    return sources


@dataclass(frozen=True)
class _Row:
    line: int
    path: Path
    slide_id: str
    mpp: float | None


def _expanded(path: Path) -> list[Path]:
    if path.exists() or not glob.has_magic(str(path)):
        return [_absolute(path)]
    found = glob.glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob raises on a**b
    matches = sorted(_absolute(Path(match)) for match in found)
    if not matches:
        raise DataError(f"{path}: matches no file; check the pattern")
    return matches


def _absolute(path: Path) -> Path:
    """Resolve folders, but keep the name of a link: it is what the user calls the slide."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def _files(folder: Path, *, recursive: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file() or is_ome_zarr(path):
            yield path
        elif recursive and path.is_dir() and path.suffix.lower() != ZARR:
            yield from _files(path, recursive=True)


def _is_known(path: Path) -> bool:
    return path.suffix.lower() in KNOWN or path.is_dir()


def _named(paths: Sequence[Path], ignored: tuple[Path, ...]) -> Discovery:
    ids = slide_ids(paths)
    return Discovery(
        sources=tuple(Source(path, name) for path, name in ids.items() if name),
        ignored=ignored,
        refused=tuple(
            (path, "another slide's path differs from it in case alone; rename one of them")
            for path, name in ids.items()
            if name is None
        ),
    )


def _rows(manifest: Path) -> Iterator[_Row]:
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream, strict=True)
            if "path" not in (table.fieldnames or ()):
                raise DataError(f"{manifest.name}: line 1: there is no column `path`; add it")
            for record in table:
                yield _row(manifest, table.line_num, record)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest.name}: cannot be read as CSV ({error})") from error


def _row(manifest: Path, line: int, record: dict[str, str | None]) -> _Row:
    where = f"{manifest.name}: line {line}"
    text = (record["path"] or "").strip()
    if not text:
        raise DataError(f"{where}: `path` is empty; name a slide")
    slide_id = (record.get("slide_id") or "").strip()
    if slide_id and not is_safe_id(slide_id):
        raise DataError(f"{where}: slide_id {slide_id!r} cannot be a file's name; choose another")
    return _Row(line, _located(manifest, Path(text)), slide_id, _mpp(where, record.get("mpp")))


def _located(manifest: Path, path: Path) -> Path:
    beside = manifest.parent / path
    return _absolute(path if path.exists() and not beside.exists() else beside)


def _mpp(where: str, text: str | None) -> float | None:
    if not (text and text.strip()):
        return None
    try:
        stated("mpp", mpp := float(text))
    except ValueError as error:  # no number, or not believable
        raise DataError(f"{where}: mpp {text.strip()!r}: {error}") from None
    return mpp


def _refuse_duplicates(manifest: Path, rows: Sequence[_Row], sources: Sequence[Source]) -> None:
    seen: dict[str, int] = {}
    for row, source in zip(rows, sources, strict=True):
        first = seen.setdefault(source.slide_id.casefold(), row.line)
        if first != row.line:
            raise DataError(
                f"{manifest.name}: line {row.line}: slide {source.slide_id or row.path.name!r} is "
                f"on line {first} too; give each its own slide_id"
            )
