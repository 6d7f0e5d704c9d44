"""Every error that wsitools raises on purpose.

    WsiToolsError                        1   something went wrong that no class below describes
    ├── InputError        (ValueError)   2   the caller asked for something impossible
    ├── IncompleteError   (RuntimeError) 3   some items failed, the others are done
    ├── DataError         (ValueError)   4   a file is missing, unreadable or contradicts itself
    │   ├── SlideError                       ... and the file is a slide
    │   ├── WeightsError                     ... and the file holds weights
    │   └── StoreError                       ... and the file is in a store
    │       └── BusyError                    ... which another worker holds
    ├── UnavailableError  (RuntimeError) 5   a package, device, weight or disk space is not here
    └── InterruptedRunError (RuntimeError) 75  stopped on request; run again to continue

The number is the exit code of the command line. Each class also derives from the builtin it
stands in for. A message says *what, where, what next*::

    case.svs: no resolution in the file; give it with --mpp-override 0.25
"""

from typing import ClassVar

__all__ = [
    "BusyError",
    "DataError",
    "IncompleteError",
    "InputError",
    "InterruptedRunError",
    "SlideError",
    "StoreError",
    "UnavailableError",
    "WeightsError",
    "WsiToolsError",
]


class WsiToolsError(Exception):
    """Parent of every error raised on purpose; never raised itself."""

    exit_code: ClassVar[int] = 1


class InputError(WsiToolsError, ValueError):
    """The request itself cannot be met, whatever the files hold (else: `DataError`)."""

    exit_code = 2


class IncompleteError(WsiToolsError, RuntimeError):
    """Some items failed and are recorded; the others are done."""

    exit_code = 3


class DataError(WsiToolsError, ValueError):
    """A file is missing, unreadable, or contradicts itself or another."""

    exit_code = 4


class SlideError(DataError):
    """A slide cannot be opened, read, or placed in microns."""


class WeightsError(DataError):
    """A weights file is of another architecture, or not plain tensors."""


class StoreError(DataError):
    """A store is torn, of another format, or was made by a different request."""


class BusyError(StoreError):
    """Another worker is writing the slide's store, or has taken it over."""


class UnavailableError(WsiToolsError, RuntimeError):
    """Something this machine lacks: a package, a device, access to weights, space on a disk."""

    exit_code = 5


class InterruptedRunError(WsiToolsError, RuntimeError):
    """Stopped on request with everything consistent; the same command continues."""

    exit_code = 75
