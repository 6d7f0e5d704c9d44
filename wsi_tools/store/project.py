"""A project: a folder of stores, the leases on them, and the list of what failed."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from wsi_tools.errors import DataError
from wsi_tools.store.files import write_atomically
from wsi_tools.store.layout import SUFFIX, is_store


@dataclass(frozen=True)
class FailureRecord:
    """One row of ``failures.csv``, which is itself a manifest for the next attempt."""

    slide_id: str
    path: str
    stage: str
    error: str
    message: str


@dataclass(frozen=True)
class Project:
    """The folder that `--out` names: one ``<slide_id>.zarr`` per slide."""

    path: Path

    def store(self, slide_id: str) -> Path:
        """Where a slide's store is, or will be."""
        return self.path / f"{slide_id}{SUFFIX}"

    def stores(self) -> tuple[Path, ...]:
        """The stores that are there, by name.

        Raises:
            DataError: the folder is not there.
        """
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such project; make it with wsitools tile or run")
        return tuple(sorted(path for path in self.path.iterdir() if is_store(path)))

    @property
    def leases(self) -> Path:
        """Where leases lie."""
        return self.path / ".leases"

    @property
    def failures_csv(self) -> Path:
        """The list of what failed and has not succeeded since."""
        return self.path / "failures.csv"

    def write(self, name: str, content: bytes) -> Path:
        """Write a file beside the stores, in one step."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        return path

    def failures(self) -> tuple[FailureRecord, ...]:
        """What failed and has not succeeded since, by slide."""
        records = sorted(self._failures.glob("*.json"))
        return tuple(found for path in records if (found := _read_failure(path)) is not None)

    def record_failure(self, failure: FailureRecord) -> None:
        """Remember a slide's failure, in the place of an earlier one."""
        content = json.dumps(asdict(failure)).encode()
        self.write(f".failures/{failure.slide_id}.json", content)
        self._rebuild_csv()

    def record_success(self, slide_id: str) -> None:
        """Forget a slide's earlier failure, if there was one."""
        record = self._failures / f"{slide_id}.json"
        if record.exists():
            record.unlink(missing_ok=True)
            self._rebuild_csv()

    @property
    def _failures(self) -> Path:
        return self.path / ".failures"

    def _rebuild_csv(self) -> None:
        """Write the list anew from the records, so that commands on one project need no lock.

        Whoever writes looks again afterwards: of two at once, the last one sees both's records.
        """
        written = None
        while written != (rows := self.failures()):
            self._write_csv(rows)
            written = rows

    def _write_csv(self, rows: tuple[FailureRecord, ...]) -> None:
        if not rows:
            self.failures_csv.unlink(missing_ok=True)
            return
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(field.name for field in fields(FailureRecord))
        table.writerows(astuple(row) for row in rows)
        write_atomically(self.failures_csv, text.getvalue().encode())


def _read_failure(record: Path) -> FailureRecord | None:
    """A failure, unless it has been taken back since it was listed."""
    try:
        return FailureRecord(**json.loads(record.read_text()))
    except FileNotFoundError:
        return None


def stores_in(path: Path) -> Iterator[Path]:
    """A store is itself; a folder is the stores in it."""
    if is_store(path):
        yield path
    else:
        yield from Project(path).stores()
