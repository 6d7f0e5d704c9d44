"""What is asked of a split: which markers, in which format, changed how."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wsi_tools.channels import (
    MatchedMarker,
    MatchedPanel,
    Normalization,
    Panel,
    Statistics,
    blaming,
    implicit_panel,
)
from wsi_tools.errors import DataError, InputError
from wsi_tools.slide import SlideInfo

__all__ = ["FORMATS", "SplitRequest"]

FORMATS: Mapping[str, str] = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff"}
DTYPES = ("keep", "uint8")
MISSING = ("error", "drop")
UNSAFE = re.compile(r"[^\w.+ -]+")


@dataclass(frozen=True)
class SplitRequest:
    """What every slide of a command is asked for.

    Attributes:
        panel: None takes the file's channels, in the order of their names.
        names: the markers to write; empty takes all that the panel keeps.
        background: a marker that is subtracted from all others, and its factor.
        normalization: None leaves values as they are.
        dtype: "keep" or "uint8".
        form: a name in `FORMATS`.
        missing: what becomes of a marker that a slide lacks: "error" or "drop".

    Raises:
        InputError: there is no such format, dtype or policy, or values would not fit.
    """

    panel: Panel | None = None
    names: tuple[str, ...] = ()
    background: tuple[str, float | None] | None = None
    normalization: Normalization | None = None
    dtype: str = "keep"
    form: str = "ome-zarr"
    missing: str = "error"

    def __post_init__(self) -> None:
        _refuse_unknown("--to", self.form, tuple(FORMATS))
        _refuse_unknown("--dtype", self.dtype, DTYPES)
        if self.missing == "zero":
            raise InputError("--missing-marker zero: a plane of zeros would pass for a measurement")
        _refuse_unknown("--missing-marker", self.missing, MISSING)
        if self.dtype == "uint8" and self.rule.method == "zscore":
            raise InputError("--dtype uint8: z-scores are negative too; take --dtype keep")

    @property
    def rule(self) -> Normalization:
        """The normalisation; "none" leaves values as they are."""
        return self.normalization or Normalization("none")

    def matched(self, info: SlideInfo) -> MatchedPanel:
        """Find the markers of a slide.

        Raises:
            InputError: a marker was named that the panel has not.
            DataError: the slide lacks one, or one that was named without a panel, or two have one
                name.
        """
        panel = self.panel or implicit_panel(info)
        with blaming(info, self.panel):
            if self.background is not None:
                panel = panel.with_background(*self.background)
            panel = _only(panel, self.names)
        return panel.matched(info, self.missing)

    def files(self, matched: MatchedPanel) -> dict[str, str]:
        """The file of each marker, by the marker's name.

        Raises:
            DataError: two would be called the same.
        """
        files: dict[str, str] = {}
        for name in matched.names:
            file = UNSAFE.sub("-", name).strip(" .-") + FORMATS[self.form]
            if file.casefold() in (each.casefold() for each in files.values()):
                raise DataError(f"{name}: another marker's file is called {file} too; rename one")
            files[name] = file
        return files

    def stored_dtype(self, marker: MatchedMarker) -> str:
        """The dtype in which a marker is written."""
        if self.dtype == "uint8":
            return "uint8"
        return "float32" if self.rule.method == "zscore" else marker.dtype

    def words(
        self, info: SlideInfo, matched: MatchedPanel, statistics: Statistics | None
    ) -> dict[str, Any]:
        """What decides every value that is written, ready for JSON."""
        return {
            "slide": info.fingerprint,
            "mpp": [info.resolution.mpp_x, info.resolution.mpp_y] if info.resolution else None,
            "markers": matched.to_json(),
            "ranges": {each.name: each.marker.range for each in matched.markers},
            "normalize": str(self.rule),
            "statistics": statistics.to_json()["markers"] if statistics else None,
            "dtype": self.dtype,
            "format": self.form,
        }


def _only(panel: Panel, names: Sequence[str]) -> Panel:
    """The panel with these markers alone to be written; the others can be subtracted at most."""
    if not names:
        return panel
    chosen = [panel.marker(name) for name in names]
    markers = (
        replace(each, role="marker" if each.role == "background" else each.role)
        if each in chosen
        else replace(each, role="background" if each.role == "background" else "ignore")
        for each in panel.markers
    )
    return replace(panel, markers=tuple(markers))


def _refuse_unknown(flag: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{flag} {value}: choose from {', '.join(known)}")
