"""The record of finished trainings, one JSON line each, that a killed benchmark goes on from."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mil_bench.contests import Size
from mil_bench.trials import Outcome, Trial, recipe_of
from wsi_tools.store.requests import fingerprint

__all__ = ["Record"]


@dataclass(frozen=True)
class Record:
    """A file of finished trainings; those of other recipes, or of another number of folds, stay."""

    path: Path
    size: Size

    def outcomes(self) -> dict[Trial, Outcome]:
        """What is there of this size of the benchmark."""
        return {
            trial: Outcome(**line["outcome"])
            for line in self._lines()
            if self._how(trial := Trial(**line["trial"])) == line["how"]
        }

    def add(self, trial: Trial, outcome: Outcome) -> None:
        """Write a training down; it is on the disk when this returns."""
        line = {"trial": asdict(trial), "how": self._how(trial), "outcome": asdict(outcome)}
        with self.path.open("a") as stream:
            stream.write(f"\n{json.dumps(line)}")  # a line that was torn ends here

    def _lines(self) -> Iterator[dict[str, Any]]:
        text = self.path.read_text() if self.path.is_file() else ""
        for line in filter(None, text.splitlines()):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # torn when the benchmark was killed
                continue

    def _how(self, trial: Trial) -> str:
        recipe = asdict(recipe_of(trial, self.size))
        return fingerprint({"folds": self.size.folds, "recipe": recipe})
