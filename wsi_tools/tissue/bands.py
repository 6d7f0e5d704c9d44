"""A picture worked on in bands of rows: what is computed of one takes little memory.

Threads share the bands, for NumPy and OpenCV let go of the interpreter while they compute.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from wsi_tools.execution import available_cores

__all__ = ["MOST_THREADS", "band_by_band", "in_threads"]

Share = TypeVar("Share")
Found = TypeVar("Found")

BAND_PX = 2**18  # below a tenth of a millisecond a step threads wait for one another
MOST_THREADS = 4  # other slides are at work beside this one


def band_by_band(
    shape: tuple[int, ...], work: Callable[[slice], Found], *, least: int = 1
) -> list[Found]:
    """Do something with every band of rows of a picture.

    Args:
        shape: (h, w, …) of the picture.
        work: takes the rows of a band; several are at work at once.
        least: rows of a band.

    Returns:
        What was found in each, in no order.
    """
    step = max(least, BAND_PX // shape[1])
    bands = [slice(top, min(top + step, shape[0])) for top in range(0, shape[0], step)]
    threads = min(MOST_THREADS, available_cores(), len(bands))
    dealt = [bands[first::threads] for first in range(threads)]
    return list(chain(*in_threads(dealt, lambda mine: [work(band) for band in mine])))


def in_threads(shares: Sequence[Share], work: Callable[[Share], Found]) -> list[Found]:
    """Give each share of some work to a thread of its own; what they found, in their order."""
    if len(shares) == 1:
        return [work(shares[0])]
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(work, shares))
