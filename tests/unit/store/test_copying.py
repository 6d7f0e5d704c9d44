"""Copies shared among threads: all is done, whoever is free, and no error is lost."""

import pickle
from threading import Barrier, Event, current_thread, main_thread

import pytest

from wsi_tools.store.copying import Copiers

WAIT_S = 20  # for a thread that is about to run anyway


def test_a_work_is_done_here_and_in_threads_at_once():
    meeting, names = Barrier(3), []

    def work():
        meeting.wait(WAIT_S)
        names.append(current_thread().name)

    Copiers(2).share(work, parts=3)
    assert len(set(names)) == 3
    assert main_thread().name in names


@pytest.mark.parametrize(("threads", "parts"), [(0, 5), (3, 1)])
def test_without_threads_or_with_one_part_it_is_done_here_alone(threads, parts):
    names = []
    Copiers(threads).share(lambda: names.append(current_thread().name), parts)
    assert names == [main_thread().name]


@pytest.fixture
def busy():
    """Copiers whose only thread is at work."""
    copiers, begun, end = Copiers(1), Event(), Event()
    copiers._pool.submit(lambda: (begun.set(), end.wait(WAIT_S)))
    assert begun.wait(WAIT_S)
    yield copiers
    assert not end.is_set()
    end.set()


def test_nobody_waits_for_a_thread_that_is_busy(busy):
    done = []
    busy.share(lambda: done.append(current_thread()), parts=2)
    assert done == [main_thread()]


def test_a_forked_process_has_threads_of_its_own(busy, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: -1)
    meeting = Barrier(2)
    busy.share(lambda: meeting.wait(WAIT_S), parts=2)
    assert not meeting.broken


def test_the_error_of_a_thread_is_raised_here():
    failed = Event()

    def work():
        if current_thread() is main_thread():
            assert failed.wait(WAIT_S)
        else:
            failed.set()
            raise ValueError("its chunk 7 is torn")

    with pytest.raises(ValueError, match="chunk 7"):
        Copiers(1).share(work, parts=2)


def test_a_pickle_stands_for_as_many_threads():
    again = pickle.loads(pickle.dumps(Copiers(2)))
    meeting = Barrier(3)
    again.share(lambda: meeting.wait(WAIT_S), parts=3)
    assert not meeting.broken
