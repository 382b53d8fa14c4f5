from __future__ import annotations

import numpy as np
import pytest

from raymm.monitoring.answered import Answered, bucket, failing, slow


def counted(times: np.ndarray, failed: int = 0) -> Answered:
    places, counts = np.unique([bucket(one) for one in times], return_counts=True)
    within = tuple(zip(places.tolist(), counts.tolist(), strict=True))
    return Answered(requests=len(times) + failed, failed=failed, within=within)


def asked(requests: int, failed: int) -> Answered:
    return Answered(requests=requests, failed=failed)


def test_what_came_since_is_the_difference_and_what_is_counted_anew_is_all() -> None:
    then = counted(np.array([0.1, 0.2]), failed=1)
    now = counted(np.array([0.1, 0.1, 0.2]), failed=2)
    assert now.since(then) == counted(np.array([0.1]), failed=1)
    assert then.since(now) == then
    assert now.since(Answered()) == now


def test_it_is_read_from_a_report() -> None:
    errors = {"ServingError": 2, "Exception": 1, "InputError": 7}
    report = {"requests": 10, "errors": errors, "latency": {"within": {"-3": 4, "-10": 3}}}
    assert Answered.of(report) == Answered(requests=10, failed=3, within=((-10, 3), (-3, 4)))
    assert Answered.of({}) == Answered()


@pytest.mark.parametrize(
    ("other", "version", "surely"),
    [
        (asked(1_000_000, 100), asked(4_000, 3), False),  # 3 of 4,000 at a rate of 1e-4: chance
        (asked(1_000_000, 100), asked(4_000, 12), True),
        (asked(1000, 0), asked(1000, 10), False),
        (asked(1000, 0), asked(1000, 20), True),
        (asked(0, 0), asked(100, 100), False),  # there is nothing to compare with
        (asked(1000, 0), asked(1000, 0), False),
    ],
)
def test_failures_are_judged_by_their_exact_chance(
    other: Answered, version: Answered, surely: bool
) -> None:
    told = failing(other, version)
    assert bool(told) is surely
    assert not surely or f"{version.failed} of {version.requests}" in told


@pytest.mark.slow
def test_one_that_is_as_fast_is_not_called_slow_however_often_one_looks() -> None:
    """One in twenty requests is of many rows and takes a hundred times as long.

    A thousand trials of 40 looks each at a chance of at most 3.2e-5: 1.3 are expected at most.
    """
    rng, condemned = np.random.default_rng(0), 0
    for _ in range(1000):
        times = np.where(rng.random((2, 4000)) < 0.05, bucket(0.2), bucket(0.002))
        looks = []
        for n in range(100, 4001, 100):
            sides = []
            for one in times[:, :n]:
                long = int((one == bucket(0.2)).sum())
                within = ((bucket(0.002), n - long), (bucket(0.2), long))
                sides.append(Answered(requests=n, within=within))
            looks.append(slow(*sides, 2.0))
        condemned += any(looks)
    assert condemned <= 6


def test_one_that_is_slow_is_called_so_once_it_is_sure() -> None:
    rng = np.random.default_rng(0)
    usual = counted(rng.lognormal(-6, 0.5, 4000))
    assert "99 % of its answers" in slow(usual, counted(3 * rng.lognormal(-6, 0.5, 100)), 2.0)
    # Slow in three of a hundred answers alone, it takes more of them.
    tail = np.where(rng.random(4000) < 0.03, 10.0, 1.0) * rng.lognormal(-6, 0.5, 4000)
    assert slow(usual, counted(tail), 2.0)
    assert not slow(usual, counted(1.5 * rng.lognormal(-6, 0.5, 4000)), 2.0)
    assert not slow(Answered(), counted(tail), 2.0)
    assert not slow(usual, Answered(), 2.0)
