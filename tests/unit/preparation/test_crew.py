"""Which worker computes where."""

import pytest

from wsi_tools.preparation import Embedding, Preparation


def devices(device: str, workers: int) -> list[str]:
    work = Preparation("embed", embedding=Embedding((("uni", None),), device=device))
    return [each.embedding.device for each in work.crew(workers) if each.embedding]


@pytest.mark.parametrize(
    ("device", "workers", "expected"),
    [
        ("auto", 1, ["auto"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),
        ("cuda:0,cuda:1", 1, ["cuda:0", "cuda:1"]),
        ("cuda:0,cuda:1", 3, ["cuda:0", "cuda:1", "cuda:0"]),
    ],
)
def test_every_device_has_a_worker_and_workers_take_them_in_turns(device, workers, expected):
    assert devices(device, workers) == expected


def test_what_embeds_nothing_is_done_by_as_many_workers_as_asked():
    work = Preparation("tile")
    assert work.crew(2) == [work, work]
