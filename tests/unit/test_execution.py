"""The supervisor: whatever becomes of a worker, the others go on and nothing stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import works
from scene import SAME_IMPORTS

from wsi_tools import execution
from wsi_tools.execution import Failure, Outcome, Progress, Stop, over


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    """Fail a test that leaves a worker, living or not yet buried."""
    yield
    left = [each for each in psutil.Process().children() if "resource_tracker" not in line(each)]
    assert left == []


def line(process: psutil.Process) -> str:
    with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def outcomes(events: Iterable[Progress[str] | Outcome[str]]) -> dict[str, Outcome[str]]:
    return {event.item: event for event in events if isinstance(event, Outcome)}


def failure_of(trouble: str, **options: float) -> Failure:
    """The failure of one item among good ones, all of which end well."""
    items = ["well", trouble, "well", "well"]
    ended = [
        event for event in over(items, [works.troubled], **options) if isinstance(event, Outcome)
    ]
    assert sorted(each.item for each in ended) == sorted(items)
    [failed] = [each for each in ended if each.failure]
    assert failed.item == trouble
    assert failed.failure is not None
    return failed.failure


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> float:
    """Wait until something is so; give the seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_every_item_is_done_once_and_tells_its_progress():
    events = list(over([1, 2, 3], [works.doubled] * 2))
    ended = [event for event in events if isinstance(event, Outcome)]
    assert sorted((each.item, each.value) for each in ended) == [(1, 2), (2, 4), (3, 6)]
    told = [event for event in events if isinstance(event, Progress) and event.item == 2]
    assert told == [Progress(2, "double", 0, 1), Progress(2, "double", 1, 1)]


def test_no_items_start_no_process():
    assert list(over([], [works.doubled] * 4)) == []


def test_no_more_processes_start_than_there_are_items():
    processes = {
        event.value for event in over(range(8), [works.pid] * 3) if isinstance(event, Outcome)
    }
    assert 1 <= len(processes) <= 3
    assert os.getpid() not in processes


def test_each_worker_does_what_was_meant_for_it_and_so_does_its_successor():
    here, there = (partial(works.somewhere, place) for place in ("here", "there"))
    assert {each.value for each in over(["a", "b"], [here, there])} == {"here", "there"}
    died, done = over(["die", "a"], [here])
    assert died.failure.error == "WorkerDied"
    assert done.value == "here"


@pytest.mark.parametrize(
    ("trouble", "failure"),
    [
        (
            "crash",
            Failure(
                "trouble",
                "WorkerDied",
                "the worker process ended while on this slide: killed by SIGSEGV; the others go on",
                3,
            ),
        ),
        (
            "exit",
            Failure(
                "trouble",
                "WorkerDied",
                "the worker process ended while on this slide: exit status 7; the others go on",
                3,
            ),
        ),
        ("fail", Failure("trouble", "SlideError", "case.svs: torn; scan it again", 4)),
        ("bug", Failure("trouble", "KeyError", "KeyError: 'no such thing'", 1)),
        ("speechless", Failure("trouble", "UnspeakableError", "UnspeakableError: unspeakable", 1)),
        ("memory", Failure("trouble", "MemoryError", "MemoryError", 1)),
    ],
)
def test_a_worker_in_trouble_costs_its_item(trouble, failure):
    assert failure_of(trouble) == failure


def test_a_result_that_cannot_be_sent_costs_its_item():
    failure = failure_of("unpicklable")
    assert (failure.stage, failure.exit_code) == ("result", 1)
    assert failure.message.startswith("the result cannot be sent: ")


def test_a_worker_that_hangs_is_killed_and_replaced():
    failure = failure_of("hang", stall_s=1.5)
    assert failure.message.startswith("the worker process ended while on this slide: no sign of")


def test_every_item_may_kill_its_worker():
    ended = outcomes(over(["crash", "exit"], [works.troubled] * 2))
    assert {name for name, each in ended.items() if each.failure} == {"crash", "exit"}


def test_a_worker_that_dies_between_items_costs_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(execution, "BUSY_PAUSE_S", 0.2)
    events = over([1, 2, 3], [works.idle_death])
    ended = []
    for event in events:
        assert isinstance(event, Outcome)
        ended.append(event)
        time.sleep(0.6)  # by then the worker is dead
    assert [(each.item, each.value, each.failure) for each in ended] == [
        (1, 1, None),
        (2, 2, None),
        (3, 3, None),
    ]


def test_an_item_that_another_holds_is_tried_until_it_is_free(monkeypatch, tmp_path):
    monkeypatch.setattr(execution, "BUSY_PAUSE_S", 0.1)
    held, free = tmp_path / "held", tmp_path / "free"
    held.touch()
    ended = []
    for event in over([str(held), str(free)], [works.free_later]):
        assert isinstance(event, Outcome)
        ended.append(event.item)
        threading.Timer(0.5, held.unlink, kwargs={"missing_ok": True}).start()
    assert ended == [str(free), str(held)]


def test_a_stop_ends_workers_between_two_steps_and_begins_nothing_more(tmp_path):
    stop, seen = Stop(), []
    for event in over([str(tmp_path)] * 4, [works.steps] * 2, stop=stop):
        seen.append(event)
        stop()
    assert [event for event in seen if isinstance(event, Outcome)] == []
    assert len(list(tmp_path.iterdir())) <= 2


def test_a_deadline_stops_as_a_signal_does(tmp_path):
    began = time.monotonic()
    events = list(over([str(tmp_path)] * 3, [works.steps], stop=Stop(seconds=2.0)))
    assert [event for event in events if isinstance(event, Outcome)] == []
    assert time.monotonic() - began < 10


def test_a_worker_that_does_not_hear_the_stop_is_killed_after_a_grace(monkeypatch, tmp_path):
    monkeypatch.setattr(execution, "GRACE_S", 1.0)
    stop = Stop()
    events = over([str(tmp_path)], [works.deaf], stop=stop)
    next(events)
    wait_for(lambda: any(tmp_path.iterdir()))
    stop()
    began = time.monotonic()
    assert list(events) == []
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_a_worker_alone_stops_the_run(tmp_path, number):
    seen = []
    for event in over([str(tmp_path)] * 3, [works.steps]):
        seen.append(event)
        for place in tmp_path.iterdir():
            with suppress(ProcessLookupError):
                os.kill(int(place.name), number)
    assert [event for event in seen if isinstance(event, Outcome)] == []


def test_interrupts_of_the_terminal_are_left_to_the_supervisor(tmp_path):
    with closing(over([str(tmp_path)], [works.steps])) as events:
        next(events)
        [place] = tmp_path.iterdir()
        os.kill(int(place.name), signal.SIGINT)
        assert [next(events).done for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("work", [works.steps, works.deaf])
def test_closing_early_ends_workers_at_once(tmp_path, work):
    events = over([str(tmp_path)] * 3, [work] * 2)
    next(events)
    wait_for(lambda: any(tmp_path.iterdir()))
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 4


@pytest.mark.faults
@pytest.mark.parametrize("work", ["steps", "deaf"])
def test_workers_end_with_a_supervisor_that_was_killed(tmp_path: Path, work: str):
    code = (
        "import sys, works; from wsi_tools.execution import over\n"
        "if __name__ == '__main__':\n"
        f"    list(over([sys.argv[1]] * 2, [works.{work}] * 2))"
    )
    script = tmp_path / "supervise.py"
    script.write_text(code)
    folder = tmp_path / "workers"
    folder.mkdir()
    command = [sys.executable, str(script), str(folder)]
    with subprocess.Popen(command, env=SAME_IMPORTS) as supervisor:
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        workers = [int(place.name) for place in folder.iterdir()]
        supervisor.kill()
    assert wait_for(lambda: not any(is_running(worker) for worker in workers)) < 2


def is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
