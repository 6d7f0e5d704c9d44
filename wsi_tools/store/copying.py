"""Large copies shared among threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

__all__ = ["Copiers"]


class Copiers:
    """Threads that take parts of a copy off the hands of who makes it, as far as they are free.

    Nobody waits for one to begin: what none has taken up when the caller is through is not needed
    any more. So a few threads serve many callers at once. Each process has threads of its own.

    Args:
        threads: how many, at most; with none everything is done by who asks.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._begin()

    def __reduce__(self) -> tuple[type["Copiers"], tuple[int]]:
        return Copiers, (self._threads,)

    def share(self, work: Callable[[], None], parts: int) -> None:
        """Do a work here and in these threads; each call of it takes parts until none is left.

        Args:
            work: may be called several times at once.
            parts: how many there are to take.

        Raises:
            Exception: as the work puts it, here or in a thread, which no longer runs then.
        """
        if os.getpid() != self._process:
            self._begin()  # threads do not survive a fork
        begun = [self._pool.submit(work) for _ in range(min(self._threads, parts - 1))]
        try:
            work()
        finally:
            running = [each for each in begun if not each.cancel()]
            wait(running)
            for each in running:
                each.result()

    def _begin(self) -> None:
        self._pool = ThreadPoolExecutor(max(1, self._threads), "copies")  # starts them when needed
        self._process = os.getpid()
