"""One of many processes that want the same slide: take its lease, leave a trace, again and again.

python owners.py LEASES TRACE SECONDS EXPIRY_S
"""

import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from wsi_tools.errors import BusyError
from wsi_tools.store import Lease, Watch, lease
from wsi_tools.store.files import discard, write_atomically


def main(folder: Path, expiry_s: float) -> None:
    """Hammer one slide until it is enough."""
    watch = Watch(expiry_s)
    while not (folder / "enough").exists():
        with suppress(BusyError), lease(folder / "leases", "case", watch=watch) as held:
            own(held, folder / "traces")
        time.sleep(random.uniform(0, 0.01))


def own(held: Lease, traces: Path) -> None:
    """Sweep what others left, then trace a beginning, two steps, and an end."""
    left = list(traces.glob(".*.partial"))
    held.check()
    for path in left:
        discard(path)
    for step in ("begin", "step", "step", "end"):
        time.sleep(random.uniform(0, 0.01))
        path = traces / f"{time.monotonic_ns():020d}-{held.token}-{step}"
        write_atomically(path, str(os.getpid()).encode(), token=held.token, check=held.check)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
