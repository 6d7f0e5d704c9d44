"""Rows beside other packages, each in an environment of its own."""

from speed.row import Row

__all__ = ["ROWS"]

ROWS: tuple[Row, ...] = ()
