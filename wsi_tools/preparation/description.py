"""What a slide is, and how tiles would be read from it, as the work of a worker."""

from dataclasses import asdict, dataclass
from typing import Any

from wsi_tools.errors import SlideError
from wsi_tools.execution import Report
from wsi_tools.preparation.requests import Reading, Task
from wsi_tools.slide import SlideInfo
from wsi_tools.slide.geometry import best_level


@dataclass(frozen=True)
class Description:
    """Opens slides and says what they are.

    Attributes:
        reading: how slides are opened.
        tile_px: side of a tile, to say how it would be read at `mpp`; None to leave that out.
        mpp: µm/px of the tile.
    """

    reading: Reading
    tile_px: int | None = None
    mpp: float = 0.5

    def __call__(self, task: Task, report: Report) -> dict[str, Any]:
        """Describe one slide."""
        report("open", 0, 1)
        with self.reading.open(task.source) as slide:
            facts = {"slide_id": task.slide_id, **asdict(slide.info)}
            if self.tile_px is not None:
                facts["read"] = self._read_plan(slide.info, self.tile_px)
        return {**facts, "path": str(facts["path"])}

    def _read_plan(self, info: SlideInfo, px: int) -> dict[str, Any]:
        """The level read, the pixels taken from it, and what that is at level 0; or why not."""
        try:
            choice = best_level(info.levels, info.mpp, self.mpp, name=info.path.name)
        except SlideError as error:
            return {"impossible": str(error)}
        sides = [px if choice.native else px * self.mpp / own for own in choice.mpp]
        downsample = info.levels[choice.level].downsample
        return {
            "mpp": self.mpp,
            "tile_px": px,
            "level": choice.level,
            "level_px": sides,
            "level0_px": [side * downsample for side in sides],
            "resampled": not choice.native,
        }
