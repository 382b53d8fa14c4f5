"""Requests that wait are predicted together, and each is told what it would be alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import math
import os
import threading
import time
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Column, Dataset, Lineage, Recipe, Schema, Statistics, Trial
from raymm.bundle.build import build
from raymm.bundle.run import Runner
from raymm.errors import LineTooLong
from raymm.features.columns import encode
from raymm.serving import batching
from raymm.serving.batching import ROWS, Batches, calls_at_once
from raymm.serving.tally import Tally


def _rows(*values):
    return {"age": np.array(values, np.float32)}


class Counting:
    """Predicts twice the age; its first call waits to be let go, and it notes what each was."""

    def __init__(self, wait=False):
        self.begun, self.going = threading.Event(), threading.Event()
        self.calls = []
        if not wait:
            self.going.set()

    def predict(self, tensors):
        self.calls.append(tensors["age"].tolist())
        self.begun.set()
        assert self.going.wait(20)
        if np.isnan(tensors["age"]).any():
            raise ValueError("no number")
        return 2 * tensors["age"]


class Version:
    """What batches need of a version."""

    def __init__(self, runner, *, joined=True, row_seconds=0.0):
        self.runner, self.joined, self.row_seconds = runner, joined, row_seconds
        self.tally = Tally()


@contextlib.contextmanager
def _batches(threads=1, calls=1, **how):
    with ThreadPoolExecutor(threads) as pool:
        made = Batches(pool, calls, workers=threads, **how)
        yield made
    assert not made._lines  # no version is kept that has nothing to do


@contextlib.contextmanager
def _busy(batches, *, runner=None, **how):
    """Yield a version that is at work on -1 and, at the end, let go."""
    runner = runner or Counting(wait=True)
    version = Version(runner, **how)
    first = batches.submit(version, _rows(-1))
    assert runner.begun.wait(20)
    try:
        yield version
    finally:
        runner.going.set()
    assert first.result(20).tolist() == [-2]


@given(st.lists(st.integers(1, ROWS + 6), max_size=30))
def test_each_is_told_its_own_rows_and_calls_are_full(sizes):
    starts = np.cumsum([0, *sizes])
    parts = [np.arange(at, at + size) for at, size in zip(starts, sizes, strict=False)]
    with _batches() as batches:
        with _busy(batches) as version:
            answers = [batches.submit(version, _rows(*part)) for part in parts]
        for part, answer in zip(parts, answers, strict=True):
            assert answer.result(20).tolist() == (2 * part).tolist()
    calls = version.runner.calls[1:]
    assert [value for call in calls for value in call] == list(range(sum(sizes)))
    size_of = dict(zip(starts.tolist(), sizes, strict=False))
    for call, following in itertools.pairwise(calls):
        assert len(call) + size_of[following[0]] > ROWS  # none waits for which there was room
    assert all(len(call) <= ROWS or len(call) == size_of[call[0]] for call in calls)


def test_one_that_nobody_waits_beside_is_given_as_it_is():
    given_ = []

    class Noting:
        def predict(self, tensors):
            given_.append(tensors)
            return tensors["age"]

    tensors = _rows(1)
    with _batches() as batches:
        batches.submit(Version(Noting()), tensors).result(20)
    assert given_[0] is tensors


@pytest.mark.parametrize("how", [{"joined": False}, {"joined": True}])
def test_requests_that_are_not_joined_are_run_in_turn(how):
    with _batches(threads=2, joined=not how["joined"]) as batches:
        with _busy(batches, **how) as version:
            answers = [batches.submit(version, _rows(n, n)) for n in range(4)]
        assert [one.result(20).tolist() for one in answers] == [[2 * n] * 2 for n in range(4)]
    assert version.runner.calls == [[-1.0], *([n, n] for n in range(4))]


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@contextlib.contextmanager
def _at_work(monkeypatch, *, calls=1, **how):
    """Yield a clock, batches of which all calls have just begun, and their version."""
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)
    with _batches(threads=calls, calls=calls) as batches:
        runner = Counting(wait=True)
        assert batches.wait(Version(runner, row_seconds=1.0, **how)) == 0
        with _busy(batches, runner=runner, row_seconds=1.0, **how) as version:
            for _ in range(calls - 1):
                assert batches.wait(version) == 0  # another may begin
                batches.submit(version, _rows(0))
            while len(runner.calls) < calls:
                time.sleep(0.001)
            yield clock, batches, version


def test_the_wait_is_what_is_left_of_the_call_at_work(monkeypatch):
    with _at_work(monkeypatch, joined=True) as (clock, batches, version):
        assert batches.wait(version) == 1
        clock.now += 0.75
        assert batches.wait(version) == 0.25
        clock.now += 0.5
        assert batches.wait(version) == 0
        for _ in range(3 * ROWS):
            batches.submit(version, _rows(0))
        assert batches.wait(version) == 3 * 1.25


@pytest.mark.parametrize(
    ("joined", "row_seconds", "calls", "light", "much", "full"),
    [
        (False, 1.0, [], 2.0, 2.0, 0.5),
        (False, 1.0, [0.5, 0.5], 1.0, 1.0, 0.25),
        (False, 1.0, [1.0, 3.0], 3.2, 3.2, 0.8),  # some rows take longer than others
        (True, 1.0, [3.0, 2.0], 5.4, 5.4, 2.7),  # of many rows
        (True, 1.0, [], 2.0, 2.0, 1.0),
        (True, 0.01, [], batching.BRIEF, batching.BRIEF, batching.BRIEF),
        (False, 0.01, [0.02], batching.BRIEF, batching.BRIEF, batching.BRIEF),
    ],
)
@pytest.mark.parametrize("asked", [0.5, 1.0, 3.0])
def test_a_request_may_wait_for_as_long_as_a_call_takes(
    joined, row_seconds, calls, light, much, full, asked
):
    """Half of one where much more is asked for than can be done, and two where no more is."""
    version = Version(Counting(), joined=joined, row_seconds=row_seconds)
    for seconds in calls:
        version.tally.called(seconds)
    most = {0.5: light, 1.0: much, 3.0: full}[asked]
    with _batches() as batches:
        batches._asked_for = lambda *_: (asked, False)
        for others in (0.0, 100.0):
            batches._waits = lambda _, told=(others, most * 0.999, False): told
            batches.require_soon(version, 1, "auto")
        batches._waits = lambda _: (0.0, most * 1.001, False)
        batches.require_soon(version, 1, "off")
        batches.require_soon(version, 1, most * 1.01)
        with pytest.raises(LineTooLong, match=f"may wait {most:.3g} s"):
            batches.require_soon(version, 1, "auto")
        batches._waits = lambda _: (1.0, most, False)
        with pytest.raises(LineTooLong, match=f"would wait {most + 1:.3g} s"):
            batches.require_soon(version, 1, most)


@pytest.mark.parametrize(
    ("slowed", "most"),
    [(1.0, 2.0), (1.2, 1.8), (1.5, 1.5), (4.0, 4.0)],
)
def test_who_waits_for_calls_that_are_slowed_down_may_wait_for_less(slowed, most):
    """Wait and call take no longer than three calls otherwise, but one may be waited for."""
    version = Version(Counting(), joined=False, row_seconds=2.0)
    version.tally.called(1.0)
    version.tally.asked(9.0, 0.0, over=1.0)
    for _ in range(40):
        version.tally.called(slowed)
    with _batches() as batches:
        waits = partial(batches._patience, version, first=False)
        assert waits(asked=0.5) == pytest.approx(2 * slowed, rel=1e-3)
        assert waits(asked=1.0) == pytest.approx(most, rel=1e-3)
        assert waits(asked=1.001) == pytest.approx(1.0, rel=1e-2)
        for much in (0.5, 1.0):
            assert waits(asked=much, crowded=True) == pytest.approx(slowed, rel=1e-3)
        assert waits(asked=1.001, crowded=True) == waits(asked=1.001)


def test_who_comes_behind_many_rows_may_wait_for_these(monkeypatch):
    """For as many again, and as long as there are once more is asked for than can be done."""
    clock, runner = Clock(), Counting(wait=True)
    monkeypatch.setattr(batching, "time", clock)
    monkeypatch.setattr(batching, "_CROWD", math.inf)
    version = Version(runner, joined=False, row_seconds=1.0)
    with _batches() as batches:
        batches.submit(version, _rows(*range(9)))
        assert runner.begun.wait(20)
        waiting = [batches.submit(version, _rows(*range(rows))) for rows in (9, 40)]
        batches.require_soon(version, 1, "auto")  # behind 9 + 9 + 40, of which 40 are the most
        waiting[1].cancel()  # who waits no more lets nobody wait
        batches.require_soon(version, 1, "auto")
        waiting.append(batches.submit(version, _rows(0)))
        with pytest.raises(LineTooLong, match="wait 19 s for its turn, but may wait 18 s"):
            batches.require_soon(version, 1, "auto")
        with pytest.raises(LineTooLong, match=r"wait 19 s for its turn, but may wait 4\.5 s"):
            batches.require_soon(version, 99, "auto")
        with pytest.raises(LineTooLong, match=r"wait 18 s for its turn, but may wait 4\.5 s"):
            waiting[2].result(20)
        clock.now += 9
        waiting[0].cancel()
        batches.require_soon(version, 1, "auto")
        runner.going.set()


def test_many_at_once_are_refused_and_those_of_them_that_wait_longer_than_one_call(monkeypatch):
    """Three in half a call are all answered, and a fourth is refused; of many more two are."""
    clock, runner = Clock(), Counting(wait=True)
    monkeypatch.setattr(batching, "time", clock)
    version = Version(runner, joined=False, row_seconds=1.0)
    with _batches() as batches:
        asked = []
        for place in range(3):
            batches.require_soon(version, 1, "auto")
            asked.append(batches.submit(version, _rows(place)))
            assert runner.begun.wait(20)
            batches.submit(version, _rows(9)).cancel()  # who has left is not counted
            clock.now += 0.25
        for _ in range(7):
            with pytest.raises(LineTooLong, match=r"would wait 2\.25 s .* but may wait 1 s"):
                batches.require_soon(version, 1, "auto")
        with pytest.raises(LineTooLong, match=r"would wait 2\.25 s .* but may wait 0\.9"):
            batches.require_soon(version, 1, "auto")
        with pytest.raises(LineTooLong, match=r"would wait 1\.25 s .* but may wait 0\.9"):
            asked[2].result(20)
        clock.now += 0.25
        with pytest.raises(LineTooLong, match=r"would wait 1 s for its turn, but may wait 0\.8"):
            batches.require_soon(version, 1, "auto")
        runner.going.set()
        assert [one.result(20).tolist() for one in asked[:2]] == [[0], [2]]


def test_of_three_that_come_at_once_the_third_is_refused(monkeypatch):
    """Many more may come, which are sent elsewhere and not seen; so it is for each call at once."""
    clock, runner = Clock(), Counting(wait=True)
    monkeypatch.setattr(batching, "time", clock)
    version = Version(runner, joined=False, row_seconds=1.0)
    with _batches(2, 2) as batches:
        for place in range(4):
            batches.require_soon(version, 1, "auto")
            batches.submit(version, _rows(place))
        assert runner.begun.wait(20)
        batches.require_soon(version, 1, "auto")
        batches.submit(version, _rows(4))
        with pytest.raises(LineTooLong, match=r"would wait 2\.5 s for its turn, but may wait 1 s"):
            batches.require_soon(version, 1, "auto")
        clock.now += 0.5
        batches.require_soon(version, 1, "auto")
        runner.going.set()


def test_the_next_in_line_stays_though_some_calls_are_quicker(monkeypatch):
    clock, runner = Clock(), Counting(wait=True)
    monkeypatch.setattr(batching, "time", clock)
    version = Version(runner, joined=False, row_seconds=1.0)
    version.tally.called(0.5)
    version.tally.called(1.5)  # 0.8 on the whole
    with _batches() as batches:
        asked = [batches.submit(version, _rows(place)) for place in range(3)]
        assert runner.begun.wait(20)
        with pytest.raises(LineTooLong, match=r"would wait 2\.4 s for its turn, but may wait 0\.4"):
            batches.require_soon(version, 99, "auto")
        with pytest.raises(LineTooLong, match=r"may wait 0\.4 s"):
            asked[2].result(20)
        runner.going.set()
        assert asked[1].result(20).tolist() == [2]


def test_who_goes_into_the_next_joint_call_waits_for_a_long_one(monkeypatch):
    """Of as many rows as there may be, unless it hangs."""
    with _at_work(monkeypatch, joined=True) as (clock, batches, version):
        for _ in range(ROWS - 1):
            batches.submit(version, _rows(0))
        clock.now += 30
        batches.require_soon(version, 1, "auto")
        clock.now += 5
        with pytest.raises(LineTooLong, match="would wait 33 s for its turn, but may wait 32 s"):
            batches.require_soon(version, 1, "auto")
        assert _waiting(batches) == ROWS - 1


def test_a_version_that_waits_for_no_thread_keeps_none_from_it():
    """One of long calls is at work on a thread, one of short calls has much to do on the other."""
    long = Version(Counting(wait=True), joined=False, row_seconds=1e3)
    order = []

    class Noting:
        def __init__(self, name):
            self.name, self.going = name, threading.Event()

        def predict(self, tensors):
            assert self.going.wait(20)
            order.append(self.name)
            return tensors["age"]

    busy, light = (Version(Noting(name), joined=False, row_seconds=1e-9) for name in "bl")
    with _batches(threads=2, calls=1) as batches:
        first = batches.submit(long, _rows(0))
        assert long.runner.begun.wait(20)
        asked = [batches.submit(busy, _rows(0)) for _ in range(5)]
        asked.append(batches.submit(light, _rows(0)))
        light.runner.going.set()
        busy.runner.going.set()
        for one in asked:
            one.result(20)
        long.runner.going.set()
        first.result(20)
    assert order.index("l") == 1


def test_a_version_of_short_calls_takes_its_share_of_the_time(monkeypatch):
    """Beside one of long calls: it makes as many as go into one of these, then it is behind it."""
    clock, order = Clock(), []
    monkeypatch.setattr(batching, "time", clock)

    class Taking:
        def __init__(self, name, seconds):
            self.name, self.seconds = name, seconds

        def predict(self, tensors):
            order.append(self.name)
            clock.now += self.seconds
            return tensors["age"]

    long, short = (
        Version(Taking(name, seconds), joined=False, row_seconds=seconds)
        for name, seconds in (("l", 1.0), ("s", 0.25))
    )
    with _batches(threads=1, calls=1) as batches:
        with _busy(batches):
            asked = [batches.submit(long, _rows(0)) for _ in range(3)]
            asked += [batches.submit(short, _rows(0)) for _ in range(9)]
        for one in asked:
            one.result(20)
    assert "".join(order) == "lssssl" + "ssss" + "l" + "s"


@pytest.mark.parametrize(("calls", "joined", "each"), [(1, False, 1), (2, False, 1), (1, True, 64)])
def test_the_load_is_what_was_done_and_what_was_refused(monkeypatch, calls, joined, each):
    """Calls are at work for a second of two, which counts while it lasts."""
    with _at_work(monkeypatch, calls=calls, joined=joined) as (clock, batches, version):
        assert batches.load() == (0.0, 0.0)
        clock.now += 0.5
        assert batches.load() == (1.0, 0.0)
        clock.now += 1.0
    while batches._lines:
        time.sleep(0.001)
    clock.now += 1.0
    assert batches.load() == (0.5, 0.0)
    clock.now += 2
    assert batches.load() == (0.0, 0.0)
    clock.now += 2
    version.tally.call_seconds = 0.5
    batches._waits = lambda _: (0.0, 1e9, False)
    for _ in range(4 * calls):
        with pytest.raises(LineTooLong):
            batches.require_soon(version, 3, "auto")
    assert batches.load() == (0.0, 3 / each)


def test_versions_that_share_threads_do_not_count_these_twice(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)
    with _batches(threads=2, calls=1) as batches:
        versions = [Version(Counting(wait=True), joined=False, row_seconds=1.0) for _ in range(2)]
        asked = [batches.submit(version, _rows(0)) for version in versions]
        for version in versions:
            assert version.runner.begun.wait(20)
        clock.now += 1
        assert batches.load() == (1.0, 0.0)
        for version in versions:
            version.runner.going.set()
        for one in asked:
            one.result(20)


def test_a_call_that_hangs_is_not_for_ever_about_to_end(monkeypatch):
    with _at_work(monkeypatch, joined=True) as (clock, batches, version):
        clock.now += 2
        assert batches.wait(version) == 0
        clock.now += 30
        assert batches.wait(version) == 30
        for _ in range(ROWS):
            batches.submit(version, _rows(0))
        assert batches.wait(version) == 30 + 32


def test_a_joint_call_of_many_rows_counts_as_as_many(monkeypatch):
    clock, runner = Clock(), Counting(wait=True)
    monkeypatch.setattr(batching, "time", clock)
    version = Version(runner, joined=True, row_seconds=1.0)
    with _batches() as batches:
        answer = batches.submit(version, _rows(*range(3 * ROWS + 1)))
        assert runner.begun.wait(20)
        clock.now += 1
        assert batches.wait(version) == 3
        clock.now += 7
        runner.going.set()
        assert len(answer.result(20)) == 3 * ROWS + 1
    assert version.tally.call_seconds == 2


def test_who_has_no_thread_waits_for_other_versions(monkeypatch):
    with _at_work(monkeypatch, joined=False, calls=2) as (clock, batches, version):
        other = Version(Counting(), joined=False, row_seconds=4.0)
        clock.now += 0.5
        assert batches.wait(other) == 0.5
        answers = [batches.submit(other, _rows(0, 0))]
        assert batches.wait(other) == 0.5 + 8  # of two threads each has one
        assert batches.wait(version) == 0.5
    assert answers[0].result(20).tolist() == [0, 0]


def test_versions_share_the_threads_alike(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)
    with _batches(threads=2, calls=1) as batches:
        versions = [Version(Counting(wait=True), joined=False, row_seconds=1.0) for _ in range(3)]
        for version in versions:
            batches.submit(version, _rows(0))
        for version in versions[:2]:
            assert version.runner.begun.wait(20)
        batches.submit(versions[0], _rows(0))
        clock.now += 0.5
        assert batches.wait(versions[0]) == pytest.approx(0.5 + 1 * 3 / 2)
        assert batches.wait(versions[2]) == pytest.approx(0.5 + 1 * 3 / 2)
        for version in versions:
            version.runner.going.set()


def test_a_call_that_hangs_delays_none_that_the_other_thread_answers(monkeypatch):
    clock, runner = Clock(), Counting(wait=True)
    monkeypatch.setattr(batching, "time", clock)
    version = Version(runner, joined=False, row_seconds=1.0)
    with _batches(threads=2, calls=2) as batches:
        batches.submit(version, _rows(0))
        while not runner.calls:
            time.sleep(0.001)
        clock.now += 100
        batches.submit(version, _rows(0))
        while len(runner.calls) < 2:
            time.sleep(0.001)
        clock.now += 0.25
        assert batches.wait(version) == 0.75
        batches.submit(version, _rows(0, 0))
        assert batches.wait(version) == 0.75 + 2
        runner.going.set()


def test_who_gave_up_is_not_kept_behind_a_call_that_hangs():
    with _batches() as batches, _busy(batches) as version:
        for _ in range(100):
            assert batches.submit(version, _rows(1)).cancel()
        assert len(batches._lines[id(version)].waiting) == 1


def test_an_error_keeps_nothing_of_its_request():
    runner = Counting()
    with _batches() as batches:
        tensors = _rows(np.nan)
        known = weakref.ref(tensors["age"])
        answer = batches.submit(Version(runner), tensors)
        del tensors
        assert isinstance(answer.exception(20), ValueError)
    gc.disable()
    try:
        del answer
        assert known() is None
    finally:
        gc.enable()


def test_the_wait_is_for_rows_where_calls_are_not_joined(monkeypatch):
    with _at_work(monkeypatch, joined=False) as (clock, batches, version):
        batches.submit(version, _rows(*range(40)))
        gone = batches.submit(version, _rows(*range(100)))
        assert batches.wait(version) == 1 + 40 + 100
        gone.cancel()
        clock.now += 0.5
        assert batches.wait(version) == 0.5 + 40


def test_two_calls_at_once_halve_the_wait(monkeypatch):
    with _at_work(monkeypatch, joined=False, calls=2) as (clock, batches, version):
        clock.now += 0.5
        assert batches.wait(version) == 0.5
        batches.submit(version, _rows(*range(6)))
        assert batches.wait(version) == 3.5


@pytest.mark.parametrize(("joined", "each"), [(True, 8.0), (False, 2.0)])
def test_what_calls_take_is_learned_from_the_last(monkeypatch, joined, each):
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)

    class Slow(Counting):
        def predict(self, tensors):
            clock.now += 8
            return super().predict(tensors)

    version = Version(Slow(), joined=joined, row_seconds=1.0)
    with _batches() as batches:
        batches.submit(version, _rows(0, 0, 0, 0)).result(20)
    assert version.tally.call_seconds == each


@pytest.mark.parametrize(
    ("processors", "replicas", "calls"),
    [(1, 1, 1), (2, 1, 2), (2, 2, 1), (16, 1, 2), (16, 8, 2), (16, 9, 1), (2, 100, 1)],
)
def test_calls_at_once_are_as_many_as_a_replica_has_processors(
    monkeypatch, processors, replicas, calls
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    assert calls_at_once(replicas, most=2) == calls


def test_a_second_thread_begins_at_once():
    runner = Counting(wait=True)
    with _batches(threads=2, calls=2) as batches, _busy(batches, runner=runner) as version:
        runner.begun.clear()
        second = batches.submit(version, _rows(1))
        assert runner.begun.wait(20)
        third = batches.submit(version, _rows(2))
        runner.going.set()
        assert (second.result(20).tolist(), third.result(20).tolist()) == ([2], [4])
    assert runner.calls == [[-1], [1], [2]]


def test_who_fails_alone_fails_alone():
    with _batches() as batches:
        with _busy(batches) as version:
            answers = [batches.submit(version, _rows(value)) for value in (1, np.nan, 3)]
        assert answers[0].result(20).tolist() == [2]
        with pytest.raises(ValueError, match="no number"):
            answers[1].result(20)
        assert answers[2].result(20).tolist() == [6]
    assert [len(call) for call in version.runner.calls] == [1, 3, 1, 1, 1]


@pytest.mark.parametrize("cut", [1, 3])
def test_too_few_or_too_many_predictions_are_nobodys(cut):
    class Odd(Counting):
        def predict(self, tensors):
            made = super().predict(tensors)
            return np.resize(made, cut) if len(made) == 2 else made

    with _batches() as batches:
        with _busy(batches, runner=Odd(wait=True)) as version:
            answers = [batches.submit(version, _rows(value)) for value in (1, 2)]
        assert [answer.result(20).tolist() for answer in answers] == [[2], [4]]


def test_where_a_part_of_a_joint_answer_cannot_be_made_all_are_answered_alone():
    class Full(np.ndarray):
        def copy(self, *_):
            raise MemoryError("no room")

    class Cramped(Counting):
        def predict(self, tensors):
            made = super().predict(tensors)
            return made.view(Full) if len(made) > 1 else made

    with _batches() as batches:
        with _busy(batches, runner=Cramped(wait=True)) as version:
            waiting = [batches.submit(version, _rows(age)) for age in (1, 2, 3)]
        assert [one.result(20).tolist() for one in waiting] == [[2], [4], [6]]
    assert [len(call) for call in version.runner.calls] == [1, 3, 1, 1, 1]


def test_columns_of_different_types_are_not_joined():
    wide = 2**24 + 1  # which float32 does not hold
    with _batches() as batches:
        with _busy(batches) as version:
            one = batches.submit(version, _rows(1))
            other = batches.submit(version, {"age": np.array([wide], np.int64)})
        assert (one.result(20).tolist(), other.result(20).tolist()) == ([2], [2 * wide])


def test_who_leaves_before_the_call_costs_nothing():
    with _batches() as batches:
        with _busy(batches) as version:
            answers = [batches.submit(version, _rows(value)) for value in (1, 2, 3)]
            assert answers[1].cancel()
        assert answers[0].result(20).tolist() == [2]
        assert answers[2].result(20).tolist() == [6]
    assert version.runner.calls == [[-1], [1, 3]]


def test_versions_are_not_mixed_and_take_turns():
    other = Version(Counting())
    with _batches() as batches:
        with _busy(batches) as version:
            answers = [
                batches.submit(one, _rows(value))
                for value, one in enumerate((other, version, other, version))
            ]
        assert [answer.result(20).tolist() for answer in answers] == [[0], [2], [4], [6]]
    assert version.runner.calls == [[-1], [1, 3]]
    assert other.runner.calls == [[0, 2]]


def test_what_waits_when_the_threads_are_shut_down_is_cancelled():
    pool = ThreadPoolExecutor(1)
    batches = Batches(pool, 1, workers=1)
    other = Version(Counting())
    with _busy(batches) as version:
        waiting = [batches.submit(one, _rows(1)) for one in (version, other)]
        pool.shutdown(wait=False, cancel_futures=True)
        late = batches.submit(Version(Counting()), _rows(1))
    pool.shutdown()
    for answer in (*waiting, late):
        with pytest.raises(CancelledError):
            answer.result(20)
    assert not batches._lines


FAMILIES = {
    "svm": {"C": 10.0, "width": 1.0},
    "neighbors": {"k": 5, "weights": "distance", "metric": "euclidean", "relevance": 0.5},
    "forest": {"max_features": 0.5, "max_samples": 1.0, "min_samples_leaf": 2},
    "lightgbm": {"learning_rate": 0.1, "num_leaves": 15},
    "linear": {},
    "mlp": {
        "layers": 2, "width_1": 33, "width_2": 17, "activation": "tanh", "solver": "adam",
        "adam_rate": 0.01, "batch_size": 32, "alpha": 0.01,
    },
}  # fmt: skip


def _model(family, task, generator, *, compiled):
    """Return a runner of a family and 60 rows."""
    rows, names = 240, [f"n{place}" for place in range(7)]
    frame = pd.DataFrame(generator.normal(size=(rows, 7)).astype(np.float32), columns=names)
    frame["word"] = generator.choice(["red", "green", "blue"], rows)
    signal = (frame.n0 * frame.n1 + (frame.word == "red")).to_numpy()
    classes = () if task == "regression" else ("a", "b", "c")
    columns = [Column(name=name, kind="number", example=0.5) for name in names]
    columns += [
        Column(name="word", kind="category", categories=("red", "green", "blue")),
        Column(name="y", kind="category" if classes else "number", role="target"),
    ]
    schema = Schema(columns=tuple(columns), target="y", task=task, classes=classes)
    everything = np.arange(rows)
    dataset = Dataset(
        tensors=encode(frame, schema), frame=frame, schema=schema, train=everything,
        y=np.digitize(signal, np.quantile(signal, [0.3, 0.7])) if classes else signal,
        test=everything[:0], folds=(), sha256="0" * 64, source="made",
    )  # fmt: skip
    config = {"family": family, **FAMILIES[family]}
    if family == "svm" and not classes:
        config["epsilon"] = 0.1
    trial = Trial(id="0", number=0, config=config, status="finished", value=0.0, rounds=20)
    lineage = Lineage(
        run="r", data_sha256="0" * 64, source="made", seed=0, ledger="", configuration={}, trial={},
        packages={},
    )  # fmt: skip
    bundle, _ = build(
        dataset, Recipe.of(trial), rows=everything, statistics=Statistics(rows=0, columns=()),
        lineage=lineage, threads=1, check_rows=everything[:50],
    )  # fmt: skip
    tensors = {name: values[:60] for name, values in dataset.tensors.items()}
    return Runner(bundle, compiled=compiled), tensors


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_joined_is_answered_in_the_same_bytes(family, task, compiled):
    generator = np.random.default_rng(0)
    runner, tensors = _model(family, task, generator, compiled=compiled)
    cuts = [0, *sorted(generator.choice(np.arange(1, 60), 20, replace=False).tolist()), 60]
    parts = [
        {name: values[start:end] for name, values in tensors.items()}
        for start, end in itertools.pairwise(cuts)
    ]
    sizes = []

    class Held:
        going = threading.Event()

        def predict(self, given):
            assert self.going.wait(20)
            sizes.append(len(given["n0"]))
            return runner.predict(given)

    with _batches() as batches:
        version = Version(Held())
        answers = [batches.submit(version, part) for part in parts]
        Held.going.set()
        for part, answer in zip(parts, answers, strict=True):
            assert answer.result(20).tobytes() == runner.predict(part).tobytes()
    assert len(sizes) <= 2  # the first one may have begun before the others had come


def _while_busy(app, asked, waiting, *, leave=()):
    """Send requests of (path, body, headers) while all threads are at work, until so many wait.

    Those that leave are cancelled then. Returns the others' answers.
    """
    service, going = app.state.service, threading.Event()
    for _ in range(2):
        service._batches._threads.submit(going.wait, 20)

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            tasks = [
                asyncio.ensure_future(client.post(path, headers=headers, **body))
                for path, body, headers in asked
            ]
            async with asyncio.timeout(20):
                while _waiting(service._batches) < waiting:
                    await asyncio.sleep(0.001)
            for place in leave:
                tasks[place].cancel()
                await asyncio.wait([tasks[place]])
            going.set()
            return await asyncio.gather(*(one for one in tasks if not one.cancelled()))

    return asyncio.run(main())


def _waiting(batches):
    return sum(len(line.waiting) for line in list(batches._lines.values()))


def _asked(record):
    """Requests of one model in every protocol and media type, and what each has to be alone."""
    kinds = {float: "FP32", bool: "BOOL", str: "BYTES", int: "INT64"}
    values = record | {"since": 1, "age": 30.0}
    inputs = [
        {"name": key, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for key, value in values.items()
    ]
    cells = ",".join(map(str, record.values()))
    json_, csv = {"content-type": "application/json"}, {"content-type": "text/csv"}
    v1, v2 = "/v1/models/churn/predict", "/v2/models/churn/infer"
    ages = [record | {"age": age} for age in range(5)]
    return [
        (v1, {"json": {"records": [record], "id": "first"}}, json_),
        (v1, {"json": {"records": ages, "id": "five"}}, json_),
        (v1, {"json": {"records": [record | {"age": "x"}], "id": "wrong"}}, json_),
        (v2, {"json": {"inputs": inputs, "id": "infer"}}, json_),
        (v1, {"content": f"{','.join(record)}\n{cells}\n"}, csv | {"x-raymm-prediction": "csv"}),
        (v2.replace("infer", "versions/1/infer"), {"json": {"inputs": inputs, "id": "p"}}, json_),
    ]


def test_requests_of_all_protocols_are_joined_and_answered_as_alone(
    make_client, make_served, record, noting
):
    slow = replace(make_served(), row_seconds=1.0, joined=True)
    asked = _asked(record)
    off = make_client(slow, batch="off")
    alone = [off.post(path, headers=headers, **body) for path, body, headers in asked]
    runner = noting(slow)
    app = make_client(replace(slow, runner=runner)).app
    together = _while_busy(app, asked, len(asked) - 1)
    assert [answer.status_code for answer in together] == [200, 200, 422, 200, 200, 200]
    for one, other in zip(together, alone, strict=True):
        assert one.content == other.content
        assert dict(one.headers) == dict(other.headers)
    assert runner.sizes == [1 + 5 + 1 + 1 + 1]


@pytest.mark.parametrize(
    ("how", "settings"),
    [
        ({"row_seconds": 1.0}, {"max_wait": "off"}),
        ({"row_seconds": 1.0, "joined": True}, {"batch": "off", "max_wait": "off"}),
        ({}, {}),
    ],
)
def test_quick_versions_and_those_that_gain_nothing_are_run_one_by_one(
    make_client, make_served, record, how, settings, noting
):
    served = replace(make_served(), **{"joined": False, "row_seconds": 0.0} | how)
    runner = noting(served)
    app = make_client(replace(served, runner=runner), **settings).app
    assert [answer.status_code for answer in _while_busy(app, _asked(record), 0)].count(200) == 5
    assert sorted(runner.sizes) == [1, 1, 1, 1, 5]


def test_a_client_that_leaves_takes_its_rows_along(make_client, make_served, record, noting):
    slow = replace(make_served(), row_seconds=1.0, joined=True)
    runner = noting(slow)
    app = make_client(replace(slow, runner=runner), max_queued=6).app
    asked = _asked(record)
    answers = _while_busy(app, asked, len(asked) - 1, leave=(1,))
    assert [answer.status_code for answer in answers] == [200, 422, 200, 200, 200]
    assert runner.sizes == [4]
    assert app.state.service._room.held == 0


def test_what_is_late_is_told_so_and_what_has_begun_keeps_its_place(
    make_client, make_served, record, noting
):
    slow, going = replace(make_served(), row_seconds=1.0, joined=True), threading.Event()

    class Hanging(noting):
        def predict(self, tensors):
            going.wait(20)
            return super().predict(tensors)

    runner = Hanging(slow)
    app = make_client(replace(slow, runner=runner), answer_time=0.2).app
    body = {"json": {"records": [record]}}, {"content-type": "application/json"}

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                client.post("/v1/models/churn/predict", headers=body[1], **body[0])
                for _ in range(5)
            ]
            answers = await asyncio.gather(*asked)
            held = app.state.service._room.held
            going.set()
            async with asyncio.timeout(20):
                while app.state.service._room.held:
                    await asyncio.sleep(0.001)
        return answers, held

    answers, held = asyncio.run(main())
    assert [answer.status_code for answer in answers] == [503] * 5
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert held == sum(runner.sizes) < 5  # the others were given up before they had begun
    assert app.state.models.get("churn").tally.errors == 0
