"""A shadow takes nothing from the champion."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np

from raymm.serving.shadow import Shadows


class Runner:
    def __init__(self):
        self.go, self.fails = threading.Event(), False

    def predict(self, tensors):
        self.go.wait(10)
        if self.fails:
            raise ValueError("no")
        return np.array([[0.25, 0.75]])


def test_answers_go_to_the_monitor_and_what_does_not_fit_is_dropped():
    told, done = [], threading.Event()
    runner = Runner()
    served = SimpleNamespace(name="m", number=2, runner=runner)

    def tell(served, batch):
        told.append(batch)
        if len(told) == 4:
            done.set()

    shadows = Shadows(tell, most_rows=3)
    # One is being worked on, three wait at most, whenever the thread takes the first.
    offered = [shadows.offer(served, lambda one: {}, 1, (f"p{n}",)) for n in range(9)]
    assert offered.count(True) in (3, 4)
    assert shadows.dropped == 9 - offered.count(True)
    runner.fails = True
    runner.go.set()
    while shadows.failed < offered.count(True):
        threading.Event().wait(0.001)
    runner.fails = False
    shadows.offer(served, lambda one: {"x": np.ones(one.number)}, 1, ("last",))
    while shadows.answered < 1 or told[-1].ids != ("last",):
        threading.Event().wait(0.001)
    assert {one.error for one in told[:-1]} == {"Exception"}
    assert {one.rows for one in told[:-1]} == {0}
    assert (told[-1].version, told[-1].rows, told[-1].ids) == (2, 1, ("last",))
    assert told[-1].tensors["x"].shape == (2,)  # the shadow's own, not of who answered
    assert told[-1].predictions.shape == (1, 2)


def test_rows_that_could_never_fit_are_dropped():
    shadows = Shadows(lambda served, batch: None, most_rows=3)
    assert not shadows.offer(SimpleNamespace(), lambda one: {}, 4, ())
    assert shadows.dropped == 1


def test_bodies_that_wait_are_bounded_in_bytes_too():
    runner = Runner()
    served = SimpleNamespace(name="m", number=2, runner=runner)
    told, done = [], threading.Event()

    def tell(served, batch):
        told.append(batch.ids)
        done.set()

    shadows = Shadows(tell, most_bytes=100)
    assert not shadows.offer(served, lambda one: {}, 1, ("huge",), 101)
    # One is being worked on, and two of 50 bytes wait, whenever the thread takes the first.
    offered = [shadows.offer(served, lambda one: {}, 1, (f"p{n}",), 50) for n in range(9)]
    assert offered.count(True) in (2, 3)
    runner.go.set()
    while len(told) < offered.count(True):
        done.wait(0.01)
    assert shadows.offer(served, lambda one: {}, 1, ("last",), 100)
