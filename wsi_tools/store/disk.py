"""A disk that is full or cannot be written to, told as such."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsi_tools.errors import UnavailableError

NO_ROOM = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR
}  # fmt: skip


@contextmanager
def naming_the_disk(folder: Path) -> Iterator[None]:
    """Turn a disk that is full, or cannot be written to, into the error that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UnavailableError(
            f"{folder}: {error.strerror}; free space there or choose another --out, and run again"
        ) from error
