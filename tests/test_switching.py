"""Threads take turns more often while anybody is inside, and as before afterwards."""

from __future__ import annotations

import sys
import threading

import pytest

from raymm.switching import SWITCH_SECONDS, Switching, switching


def test_two_that_overlap_leave_the_switch_interval_as_it_was() -> None:
    usual = sys.getswitchinterval()
    switching.__enter__()
    switching.__enter__()
    switching.__exit__()
    assert sys.getswitchinterval() == pytest.approx(min(usual, SWITCH_SECONDS))
    switching.__exit__()
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_many_threads_leave_it_as_it_was_too() -> None:
    usual, made = sys.getswitchinterval(), Switching()

    def enter() -> None:
        for _ in range(300):
            with made:
                assert sys.getswitchinterval() <= SWITCH_SECONDS * 1.01

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.getswitchinterval() == pytest.approx(usual)
    assert made._inside == 0
