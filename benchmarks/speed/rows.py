"""All rows, in the order of the table, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from speed import bags, embedding, memory, reading, segmenting, startup, training
from speed.row import Row

__all__ = ["ROWS"]

_MODULES = (reading, segmenting, embedding, bags, training, startup, memory)

ROWS: Mapping[str, Row] = MappingProxyType(
    {row.key: row for module in _MODULES for row in module.ROWS}
)
