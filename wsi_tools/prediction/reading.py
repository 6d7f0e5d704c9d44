"""Bags on their way from the stores to the model: read ahead of use, kept within a budget."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Self

from wsi_tools.cohort import Case
from wsi_tools.mil import Bag
from wsi_tools.prediction.computing import GIB

__all__ = ["Reader"]

AHEAD = 4  # bags under way: one is computed on, the others hide the latency of a network disk


class Reader:
    """Reads bags in threads, a few ahead of who asks.

    A bag that was read stays while the budget lasts, and is never put out: over cases in random
    order, no other rule finds more of them there.

    Args:
        read: gives the bag of a case.
        cache_gb: budget in GiB.
        place: puts a bag that stays where it is computed on.
    """

    def __init__(
        self,
        read: Callable[[Case], Bag],
        cache_gb: float = 0.0,
        place: Callable[[Bag], Bag] = lambda bag: bag,
    ) -> None:
        self._read = read
        self._place = place
        self._kept: dict[str, Bag] = {}
        self._room = cache_gb * GIB
        self._threads = ThreadPoolExecutor(AHEAD, "bags")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def bags(self, cases: Iterable[Case]) -> Iterator[Bag]:
        """The bags of these cases, in their order."""
        ahead = iter(cases)
        under_way: deque[tuple[Case, Future[Bag] | Bag]] = deque(
            map(self._begin, islice(ahead, AHEAD))
        )
        while under_way:
            case, begun = under_way.popleft()
            under_way.extend(map(self._begin, islice(ahead, 1)))
            yield begun if isinstance(begun, Bag) else self._keep(case, begun.result())

    def _begin(self, case: Case) -> tuple[Case, Future[Bag] | Bag]:
        kept = self._kept.get(case.case_id)
        return case, kept if kept is not None else self._threads.submit(self._read, case)

    def _keep(self, case: Case, bag: Bag) -> Bag:
        size = bag.features.nbytes + bag.coords.nbytes + bag.lattice.nbytes + bag.segment.nbytes
        if case.case_id not in self._kept and size <= self._room:
            self._room -= size
            self._kept[case.case_id] = bag = self._place(bag)
        return bag
