"""What a version must show before it may answer."""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.errors import BundleError
from raymm.serving import gain, rehearsal
from raymm.serving.rehearsal import Care, Refused, from_bundle, rehearsed, require_pace, warmed
from raymm.serving.sources import Served


class Changed:
    """A sound runner whose predictions are changed."""

    def __init__(self, bundle, change):
        self._runner, self._change = Runner(bundle), change
        self.schema = self._runner.schema

    def predict(self, tensors):
        return self._change(self._runner.predict(tensors))

    def labels(self, predictions):
        return self._runner.labels(predictions)


def test_a_sound_version_is_loaded_with_its_hash_and_its_time(make_bundle):
    bundle = make_bundle()
    served = rehearsed("m", 3, bundle.to_bytes(), Care())
    assert (served.name, served.number, served.sha256) == ("m", 3, bundle.sha256)
    assert served.row_seconds > 0


def test_what_is_no_bundle_is_refused(make_bundle):
    data = make_bundle().to_bytes()
    for broken in (b"", b"no bundle", data[: len(data) // 2], data[:-9] + b"\0" * 9):
        with pytest.raises(Refused, match="cannot be loaded"):
            rehearsed("m", 1, broken, Care())
    with pytest.raises(BundleError):
        from_bundle("m", 1, b"no bundle")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p * np.nan, "finite"),
        (lambda p: p[:, :1], "shape"),
        (lambda p: p[:0], "shape"),
        (lambda p: p * 2, "add up to 1"),
        (lambda p: np.stack([p[:, 0] + 2, p[:, 1] - 2], axis=1), r"\[0, 1\]"),
    ],
)
def test_nonsense_is_refused(make_bundle, change, told):
    with pytest.raises(Refused, match=told):
        warmed("m", 1, "0", Changed(make_bundle(), change))


def test_numbers_need_only_be_finite(make_bundle):
    bundle = make_bundle(task="regression")
    warmed("m", 1, "0", Changed(bundle, lambda p: p * 1e6))
    with pytest.raises(Refused, match="finite"):
        warmed("m", 1, "0", Changed(bundle, lambda p: p * np.inf))


def test_rows_with_missing_values_are_tried_too(make_bundle):
    seen = []
    bundle = make_bundle()
    runner = Changed(bundle, lambda p: p)
    predict = runner.predict
    runner.predict = lambda tensors: seen.append(tensors) or predict(tensors)
    warmed("m", 1, "0", runner)
    several = next(tensors for tensors in seen if len(tensors["age"]) > 1)
    assert np.isnan(several["income"]).sum() == len(several["income"]) / 2
    assert np.isfinite(several["age"]).all()  # which may not be missing


@pytest.mark.parametrize(("cost", "joined"), [(0.0, True), (0.004, False)])
def test_a_version_knows_whether_its_calls_are_to_be_joined(monkeypatch, make_bundle, cost, joined):
    """A call of 1 ms, and each row ``cost`` seconds more."""
    now = 0.0
    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr(rehearsal, "time", clock)
    monkeypatch.setattr(gain, "time", clock)

    class Costing(Changed):
        def predict(self, tensors):
            nonlocal now
            now += 0.001 + cost * len(tensors["age"])
            return super().predict(tensors)

    assert warmed("m", 1, "0", Costing(make_bundle(), lambda p: p)).joined is joined


def test_one_that_hangs_or_is_slow_is_refused(make_bundle):
    forever = threading.Event()
    hanging = Care(prepare=lambda *_: forever.wait(20), load_seconds=0.05)
    with pytest.raises(Refused, match=r"within 0\.05 s"):
        rehearsed("m", 1, b"", hanging)
    forever.set()
    with pytest.raises(Refused, match="one row within 0 s"):
        rehearsed("m", 1, make_bundle().to_bytes(), Care(row_seconds=0.0))


@pytest.mark.parametrize("times", [(0.3, 0.9), (0.9, 0.3)])
def test_the_longer_of_two_times_counts(make_bundle, monkeypatch, times):
    bundle = make_bundle()
    taken = iter(times)
    monkeypatch.setattr(rehearsal, "_timed", lambda *_: next(taken))
    assert warmed("m", 1, bundle.sha256, Runner(bundle)).row_seconds == 0.9


def test_of_a_quick_row_one_time_that_is_long_does_not_count(make_bundle, monkeypatch):
    times = iter([0.0001, 0.015, 0.0002, 0.0003, 0.0002, 0.0002, 0.0003, 0.0001, 0.0003])
    bundle = make_bundle()
    monkeypatch.setattr(rehearsal, "_timed", lambda *_: next(times))
    assert warmed("m", 1, bundle.sha256, Runner(bundle)).row_seconds == 0.0002
    assert next(times, None) is None


class Taking(Changed):
    """A sound runner whose calls take their time by a clock that stands still else."""

    def __init__(self, bundle, clock, *seconds):
        super().__init__(bundle, lambda predictions: predictions)
        self._clock, self._seconds, self.calls = clock, itertools.cycle(seconds), 0

    def predict(self, tensors):
        self.calls += 1
        self._clock.now += next(self._seconds)
        return super().predict(tensors)


@pytest.fixture
def pace(monkeypatch, make_bundle):
    """Return a function that holds calls of a version against calls of its champion."""
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(rehearsal, "time", clock)

    def held(theirs, ours, **care):
        bundle = make_bundle()
        runners = [Taking(bundle, clock, *seconds) for seconds in (theirs, ours)]
        version, champion = (
            Served(name="m", number=number, sha256="0", runner=one, schema=one.schema)
            for number, one in zip((2, 1), runners, strict=True)
        )
        require_pace(version, champion, Care(**{"slowdown": 2.0, **care}))
        return [one.calls for one in runners]

    return held


def test_one_that_is_much_slower_than_the_champion_is_refused(pace):
    told = (
        r"its row takes 500 ms, that of the champion, version 1, 10: at most 20 ms are allowed "
        r"\(serving\.release\.slowdown, 2; less than 1 ms counts as that\)\. "
        r".* raymm promote m 2 --force"
    )
    with pytest.raises(Refused, match=told):
        pace((0.5,), (0.01,))
    assert pace((0.5,), (0.01,), slowdown=51.0)[0] >= 2
    assert pace((0.5,), (0.01,), slowdown=math.inf) == [0, 0]
    pace((0.0199,), (0.01,))
    with pytest.raises(Refused, match="at most 10 ms"):
        pace((0.0101,), (0.01,), slowdown=1.0)


def test_the_least_times_count_and_microseconds_do_not(pace):
    pace((0.5, 0.012), (0.01, 0.9))
    pace((50e-6,), (1e-6,))
    pace((1.9e-3,), (1e-6,))
    with pytest.raises(Refused, match="at most 2 ms"):
        pace((2.1e-3,), (1e-6,))


def test_one_that_fails_or_hangs_while_it_is_timed_is_refused(make_bundle):
    bundle, forever = make_bundle(), threading.Event()
    good = warmed("m", 1, "0", Runner(bundle))

    def fails(predictions):
        raise OSError("no")

    for change, told in ((fails, "OSError: no"), (lambda _: forever.wait(20), r"within 0\.05 s")):
        version = replace(good, number=2, runner=Changed(bundle, change))
        with pytest.raises(Refused, match=told):
            require_pace(version, good, Care(slowdown=2.0, load_seconds=0.05))
    forever.set()
