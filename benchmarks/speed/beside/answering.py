"""Run something whenever a line comes in, and answer with what it took."""

import json
import sys
import time
from collections.abc import Callable


def answer(work: Callable[[], object]) -> None:
    """Until the input ends: one run for each line, one JSON object for each run."""
    print(flush=True)  # ready
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(took), flush=True)
