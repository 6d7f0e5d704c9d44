"""Heat maps of many cases: what a worker does with each, and what is done already."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from wsi_tools.checkpoint import JSON_NAME
from wsi_tools.cohort import Case, Cohort
from wsi_tools.cohort.bags import Bags
from wsi_tools.errors import StoreError
from wsi_tools.execution import Report
from wsi_tools.heatmap.models import RunModels
from wsi_tools.heatmap.pixels import slide_of
from wsi_tools.heatmap.request import HeatmapRequest
from wsi_tools.heatmap.scores import TileScores
from wsi_tools.heatmap.what_if import WhatIf, changed
from wsi_tools.heatmap.writing import files_of
from wsi_tools.prediction import Computing
from wsi_tools.slide.discovery import Source
from wsi_tools.store import FeatureStore
from wsi_tools.store.files import write_atomically
from wsi_tools.store.requests import difference, json_ready
from wsi_tools.training import trained_folders

__all__ = ["HeatmapTask", "HeatmapWork"]

Row = dict[str, Any]


@dataclass(frozen=True)
class HeatmapTask:
    """A case on its way to the folder of the heat maps.

    Attributes:
        case: the slide, or the patient with all slides.
        source: where it comes from, for the list of failures.
        store: its place in the output.
    """

    case: Case
    source: Source
    store: Path

    @property
    def slide_id(self) -> str:
        """The case's name."""
        return self.case.case_id


@dataclass(frozen=True, eq=False)
class _Seen:
    """A slide of a case: its scores, and what they would be."""

    case: Case
    scores: TileScores
    what_ifs: list[WhatIf]

    def row(self) -> Row:
        """What is known of the slide, ready for JSON."""
        scores = self.scores
        return {
            "slide_id": scores.slide_id,
            "case_id": self.case.case_id,
            "judges": asdict(scores.judges),
            "predicted": dict(scores.predicted),
            "attention_of": scores.of or None,
            "scores": list(scores.names),
            "vectors": {name: dict(vector) for name, vector in scores.vectors.items()},
            "what_if": [each.row() for each in self.what_ifs],
        }


@dataclass(frozen=True)
class HeatmapWork:
    """What is done with every case; a worker loads the models once.

    Attributes:
        run: a run, or a fold of one.
        project: the folder of stores.
        cohort: the slides, and what is known of them.
        request: what is asked for.
        out: the folder of the heat maps.
        computing: device and precision.
        overwrite: replace what another request made.
    """

    run: Path
    project: Path
    cohort: Cohort
    request: HeatmapRequest
    out: Path
    computing: Computing
    overwrite: bool = False

    def __getstate__(self) -> dict[str, object]:
        """What is sent to a worker: the request, not the models, which it loads itself."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def tasks(self) -> tuple[HeatmapTask, ...]:
        """A task per case."""
        return tuple(
            HeatmapTask(
                case, Source(self.project / case.case_id, case.case_id), self.out / case.case_id
            )
            for case in self.cohort.cases(self.models.level)
        )

    def foreseen(self, case: Case) -> Iterator[Row]:
        """What would be done with the slides of a case."""
        bags = self._bags(case)
        for slide_id in case.slides:
            store = FeatureStore(bags.stores[slide_id])
            yield {
                "slide_id": slide_id,
                "tiles": len(bags.rows(slide_id)),
                "judges": str(self.models.judges(case)),
                "slide_there": Path(store.record.path).is_file(),
                "done": self._done(case, slide_id, bags) is not None,
            }

    def __call__(self, task: HeatmapTask, report: Report) -> list[Row]:
        """Make the files of a case's slides, those apart that are there; a row per slide.

        Raises:
            StoreError: another request's files are there.
            DataError: a slide cannot be used.
            InputError: the model has no such score, or reads no such clinical column.
        """
        report("attention", 0, 1)
        bags = self._bags(task.case)
        done = {slide_id: self._done(task.case, slide_id, bags) for slide_id in task.case.slides}
        if all(done.values()):
            return [row for row in done.values() if row is not None]
        return [
            done[seen.scores.slide_id] or self._written(seen, bags, report)
            for seen in self._seen(task.case, bags)
        ]

    @cached_property
    def models(self) -> RunModels:
        """The run's models."""
        return RunModels.load(self.run, self.computing)

    @cached_property
    def _weights(self) -> list[str]:
        """What tells the models from any others."""
        files = [folder / JSON_NAME for folder in trained_folders(self.run)]
        return [json.loads(file.read_text())["weights"] for file in files]

    def _bags(self, case: Case) -> Bags:
        """The bags of a case alone: what is wrong with other slides does not concern it."""
        return self.models.bags(self.project, self.cohort.only(case.slides))

    def _seen(self, case: Case, bags: Bags) -> Iterator[_Seen]:
        """The scores of each slide, and what they would be."""
        before = self.models.scores(case, bags)
        models = self.models.ensemble.checkpoints
        scalers = [scaler for each in models for scaler in each.reads.scalers]
        others = [
            (change, self.models.scores(changed(case, change, scalers), bags))
            for change in self.request.what_if
        ]
        for number, scores in enumerate(before):
            what_ifs = [
                WhatIf(change, case.cells.get(change.column), scores, after[number])
                for change, after in others
            ]
            yield _Seen(case, scores, what_ifs)

    def _written(self, seen: _Seen, bags: Bags, report: Report) -> Row:
        """Write every file, then the record that says that they are all there."""
        scores, names = seen.scores, []
        with slide_of(scores.feature_store()) as slide:
            for name, content in files_of(scores, self.request, slide, seen.what_ifs):
                write_atomically(self.out / name, content)
                names.append(name)
                report("files", len(names), len(names) + 1)
        made = seen.row() | {"slide_there": slide is not None, "files": names}
        request = self._request(seen.case, scores.slide_id, bags)
        record = json_ready({"request": request, "made": made})
        write_atomically(self._record(scores.slide_id), json.dumps(record, indent=1).encode())
        row: Row = record["made"]
        return row

    def _request(self, case: Case, slide_id: str, bags: Bags) -> Row:
        """What the files of a slide depend on."""
        read = self.models.ensemble.checkpoints[0].reads.columns
        features, store = bags.features, FeatureStore(bags.stores[slide_id])
        attributes = store.feature_attributes(features.grid, features.name)
        return json_ready(
            {
                **self.request.as_json(),
                "case": case.slides,
                "record": {column: case.cells.get(column) for column in read},
                "models": self._weights,
                "features": f"{features} {attributes['fingerprint']}",
            }
        )

    def _record(self, slide_id: str) -> Path:
        return self.out / f"{slide_id}.heatmap.json"

    def _done(self, case: Case, slide_id: str, bags: Bags) -> Row | None:
        """The row of a slide whose files are there; None where they are to be made.

        Raises:
            StoreError: another request made the files that are there.
        """
        path = self._record(slide_id)
        try:
            record: Mapping[str, Any] = json.loads(path.read_text())
            changed_request = difference(self._request(case, slide_id, bags), record["request"])
            row: Row = record["made"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            changed_request, row = f"{path.name} is torn", {}
        if self.overwrite:
            return None
        if changed_request:
            raise StoreError(
                f"{path}: another request made the heat maps there ({changed_request}); choose "
                "another --out, or add --overwrite"
            )
        there = all((self.out / name).is_file() for name in row["files"])
        return row if there and not _is_back(row, bags) else None


def _is_back(row: Mapping[str, Any], bags: Bags) -> bool:
    """Whether a slide that was gone when its files were made can be read again."""
    if row["slide_there"]:
        return False
    with slide_of(FeatureStore(bags.stores[row["slide_id"]])) as slide:
        return slide is not None
