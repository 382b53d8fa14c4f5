"""A late trial is told where it stood; a death says what is known of it."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from raymm.search import faults


def busy() -> None:
    with faults.alarm(0.05):
        while True:
            pass


def careless() -> None:
    with faults.alarm(0.05):
        try:
            time.sleep(60)
        except Exception:
            pytest.fail("Late must not be an Exception")


def test_the_alarm_rings_in_python_code_and_tells_the_place() -> None:
    began = time.monotonic()
    with pytest.raises(faults.Late) as late:
        busy()
    assert time.monotonic() - began < 10
    assert "test_faults.py" in late.value.place


def test_what_ends_in_time_hears_no_alarm() -> None:
    with faults.alarm(0.05):
        value = 1
    time.sleep(0.1)
    assert value == 1


def test_a_users_except_does_not_swallow_it() -> None:
    with pytest.raises(faults.Late):
        careless()


@pytest.mark.slow
def test_an_alarm_set_before_goes_on() -> None:
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    left = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with faults.alarm(30):
            pass
        time.sleep(0.4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, before)
    assert rung == [signal.SIGALRM]


def test_outside_the_main_thread_nothing_is_done() -> None:
    ended = []

    def work() -> None:
        with faults.alarm(0.01):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended


def test_the_users_frame_is_found_in_another_thread() -> None:
    ready, go = threading.Event(), threading.Event()

    def waiting_function() -> None:
        ready.set()
        go.wait(30)

    thread = threading.Thread(target=waiting_function)
    thread.start()
    ready.wait(30)
    place = faults.where(None)
    go.set()
    thread.join()
    assert "test_faults.py" in place
    assert place.endswith(", in waiting_function")


def test_messages_name_what_can_be_mended() -> None:
    assert faults.late(2.5, "f.py, line 3").splitlines() == [
        "the trial took longer than 2.5 s (search.trial_timeout)",
        "f.py, line 3",
    ]
    assert faults.died(3) == "the worker process died 3 times: it was killed, or ran out of memory"
    assert "search.cpus" in faults.died(1, "killed due to the node running low on memory: OOM")
