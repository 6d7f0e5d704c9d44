"""Files that belong to a slide and are none: what a slide in several files consists of."""

import configparser
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["DicomHeader", "companions", "dicom_header", "one_per_dicom_series"]

MIRAX = ".mrxs"
HAMAMATSU_INDEX = (".vms", ".vmu")
DICOM = ".dcm"

IMAGE_TYPE = (0x0008, 0x0008)
SERIES = (0x0020, 0x000E)
ITEM = (0xFFFE, 0xE000)
LONG_FORM = (
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"SV",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
    b"UV",
)
UNDEFINED = 0xFFFFFFFF
NO_VOLUME = ("LABEL", "OVERVIEW", "THUMBNAIL")


@dataclass(frozen=True)
class DicomHeader:
    """The series a DICOM file belongs to, and what it shows, such as ("DERIVED", "VOLUME")."""

    series: str
    image_type: tuple[str, ...]


def companions(slide: Path) -> Iterator[Path]:
    """Yield the files and folders beside a slide that are parts of it.

    A MIRAX slide has a folder of its own name; a Hamamatsu index names its JPEG and .opt files.
    """
    suffix = slide.suffix.lower()
    if suffix == MIRAX:
        yield slide.with_suffix("")
    elif suffix in HAMAMATSU_INDEX:
        yield from _named_in(slide)


def one_per_dicom_series(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield all paths but the DICOM files whose series another file of their folder stands for.

    The first file by name that is no label, overview or thumbnail stands for its series; readers
    find the others. A file whose header cannot be read stands for itself.
    """
    chosen: dict[tuple[Path, str], Path] = {}
    for path in sorted(paths, key=_volumes_first):
        header = dicom_header(path)
        key = (path.parent, header.series if header else path.name)
        if chosen.setdefault(key, path) == path:
            yield path


def dicom_header(path: Path) -> DicomHeader | None:
    """Read the series and the image type; None for anything but little-endian explicit DICOM."""
    if path.suffix.lower() != DICOM:
        return None
    try:
        with path.open("rb") as stream:
            found = _elements(stream)
    except (OSError, struct.error):
        return None
    if SERIES not in found:
        return None
    return DicomHeader(found[SERIES], tuple(found.get(IMAGE_TYPE, "").split("\\")))


def _volumes_first(path: Path) -> tuple[bool, Path]:
    header = dicom_header(path)
    return bool(header and set(header.image_type) & set(NO_VOLUME)), path


def _named_in(index: Path) -> Iterator[Path]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(index.read_text(encoding="latin-1"))
    except (OSError, configparser.Error):
        return  # no index after all: opening it will say so
    for section in parser.values():
        for value in section.values():
            part = index.parent / Path(value).name
            if part != index and part.is_file():
                yield part


def _elements(stream: BinaryIO) -> dict[tuple[int, int], str]:
    """Collect the text of the two elements wanted, walking the top level of the data set."""
    stream.seek(128)
    if stream.read(4) != b"DICM":
        return {}
    found: dict[tuple[int, int], str] = {}
    while True:
        tag, length = _element(stream)
        if tag > SERIES:
            return found
        if length == UNDEFINED:
            _skip_sequence(stream)
        elif tag in (SERIES, IMAGE_TYPE):
            found[tag] = stream.read(length).decode("latin-1").strip("\0 ")
        else:
            stream.seek(length, 1)


def _element(stream: BinaryIO) -> tuple[tuple[int, int], int]:
    """Read one element's tag and the length of its value."""
    group, element, kind, short = struct.unpack("<HH2sH", stream.read(8))
    if group == ITEM[0]:  # items have no kind: their length is what was read as one
        return (group, element), int.from_bytes(kind + short.to_bytes(2, "little"), "little")
    if kind in LONG_FORM:
        (long,) = struct.unpack("<I", stream.read(4))
        return (group, element), long
    return (group, element), short


def _skip_sequence(stream: BinaryIO) -> None:
    """Skip a value of undefined length, to one past its delimiter; such values nest."""
    depth = 1
    while depth:
        tag, length = _element(stream)
        if length == UNDEFINED:
            depth += 1
        elif tag[0] == ITEM[0] and tag != ITEM:
            depth -= 1
        elif tag != ITEM:
            stream.seek(length, 1)
