"""Threads that compute side by side, each on a batch of its own.

Cores that share one forward pass wait for the slowest of them after every layer, and whatever else
a core does meanwhile, such as reading tiles, makes all of them wait. Cores with batches of their
own wait for nobody. On a GPU the copies of one lane lie beside the products of another.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

__all__ = ["Lanes"]

Item = TypeVar("Item")
Made = TypeVar("Made")


class Lanes:
    """A number of threads, and what each of them does before anything else.

    Args:
        count: threads.
        begin: called once in each, such as to choose what it computes on.
    """

    def __init__(self, count: int, begin: Callable[[], None] | None = None) -> None:
        self._ahead = 2 * count  # one at work in each lane, and one that it can go on with
        self._threads = ThreadPoolExecutor(count, "lanes", begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # after an error nobody waits for what is under way: who asks for a stop gives ten seconds
        self._threads.shutdown(wait=error is None, cancel_futures=True)

    def each(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """What becomes of every item, in their order; at most two for each lane are under way."""
        coming: deque[Future[Made]] = deque()
        for item in items:
            coming.append(self._threads.submit(work, item))
            if len(coming) >= self._ahead or coming[0].done():
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
