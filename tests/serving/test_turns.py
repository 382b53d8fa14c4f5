"""What a quick version reads in one turn of the event loop is predicted together."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.sections import ServingConfig
from raymm.serving.app import create_app
from raymm.serving.batching import ROWS
from raymm.serving.sources import FixedModels
from raymm.serving.turns import _ALONE, Turns


class Doubling:
    """Predicts twice the age, fails where one is missing, and notes what each call was."""

    def __init__(self):
        self.calls = []

    def predict(self, tensors):
        self.calls.append(tensors["age"].tolist())
        if np.isnan(tensors["age"]).any():
            raise ValueError("no number")
        return 2 * tensors["age"]


def _version(joined=True):
    return SimpleNamespace(runner=Doubling(), joined=joined)


def _rows(*values):
    return {"age": np.array(values, np.float32)}


@given(st.lists(st.integers(1, ROWS + 6), min_size=1, max_size=20))
def test_each_is_told_its_own_rows_and_calls_are_full(sizes):
    starts = np.cumsum([0, *sizes])
    parts = [np.arange(at, at + size) for at, size in zip(starts, sizes, strict=False)]
    version, turns = _version(), Turns()

    async def main():
        return await asyncio.gather(*(turns.predict(version, _rows(*part)) for part in parts))

    for part, answer in zip(parts, asyncio.run(main()), strict=True):
        assert answer.tolist() == (2 * part).tolist()
    calls = version.runner.calls
    assert [value for call in calls for value in call] == list(range(sum(sizes)))
    size_of = dict(zip(starts.tolist(), sizes, strict=False))
    for call, following in itertools.pairwise(calls):
        assert len(call) + size_of[following[0]] > ROWS  # none waits for which there was room
    assert all(len(call) <= ROWS or len(call) == size_of[call[0]] for call in calls)
    assert not turns._turns  # no version is kept that has nothing to do


def test_the_loop_goes_on_between_calls():
    """Else who asks for a health check would wait for all rows that are there."""
    version, turns, seen = _version(), Turns(), []

    async def other():
        for _ in range(5):
            seen.append(len(version.runner.calls))
            await asyncio.sleep(0)

    async def main():
        many = (turns.predict(version, _rows(*range(ROWS))) for _ in range(3))
        await asyncio.gather(*many, other())

    asyncio.run(main())
    assert seen == [0, 1, 2, 3, 3]


def test_who_is_alone_is_answered_at_once_and_of_several_the_first():
    version, turns = _version(), Turns()

    async def one():
        return turns.waits(version)

    async def main():
        assert not turns.waits(version)
        await asyncio.sleep(0)
        assert await asyncio.gather(one(), one(), one()) == [False, True, True]

    asyncio.run(main())


def test_until_some_turns_had_one_each_who_comes_waits_for_others():
    version, turns = _version(), Turns()

    async def ask(value):
        if not turns.waits(version):
            return None
        return (await turns.predict(version, _rows(value))).tolist()

    async def main():
        assert await asyncio.gather(ask(1), ask(2), ask(3)) == [None, [4], [6]]
        for value in range(_ALONE):
            assert await ask(value) == [2 * value]
        assert await ask(0) is None
        await asyncio.sleep(0)
        assert await ask(0) is None

    asyncio.run(main())
    assert version.runner.calls == [[2, 3], *([value] for value in range(_ALONE))]


@pytest.mark.parametrize(("joined", "pays"), [(False, True), (True, False)])
def test_what_gains_nothing_or_is_not_to_be_joined_never_waits(joined, pays):
    version, turns = _version(joined=pays), Turns(joined=joined)

    async def main():
        return [turns.waits(version) for _ in range(3)]

    assert asyncio.run(main()) == [False] * 3
    assert not turns.takes(version)


def test_who_fails_alone_fails_alone_and_who_has_left_costs_nothing():
    version, turns = _version(), Turns()

    async def main():
        tasks = [
            asyncio.ensure_future(turns.predict(version, _rows(value)))
            for value in (1, np.nan, 3, 4)
        ]
        await asyncio.sleep(0)  # they have asked
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    one, wrong, three, gone = asyncio.run(main())
    assert (one.tolist(), three.tolist()) == ([2], [6])
    assert isinstance(wrong, ValueError)
    assert isinstance(gone, asyncio.CancelledError)
    assert all(4 not in call for call in version.runner.calls)


@pytest.mark.parametrize("together", [1, 3])
def test_an_error_keeps_nothing_of_its_request(together):
    """An error, its frames and what was asked make no circle that waits to be collected."""
    version, turns, known = _version(), Turns(), []

    async def ask():
        tensors = _rows(np.nan)
        known.append(weakref.ref(tensors["age"]))
        with pytest.raises(ValueError, match="no number"):
            await turns.predict(version, tensors)

    async def main():
        await asyncio.gather(*(ask() for _ in range(together)))
        await asyncio.sleep(0)
        return [one() for one in known]

    gc.disable()
    try:
        assert asyncio.run(main()) == [None] * together
    finally:
        gc.enable()


def test_a_model_that_raises_what_no_future_takes_fails_and_nobody_waits_for_ever():
    class Ended(Doubling):
        def predict(self, tensors):
            raise StopIteration

    async def main():
        version, turns = SimpleNamespace(runner=Ended(), joined=True), Turns()
        asked = [turns.predict(version, _rows(age)) for age in range(3)]
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 20)

    told = asyncio.run(main())
    assert [str(one) for one in told] == ["the model raised StopIteration."] * 3


def test_versions_are_not_mixed():
    one, other, turns = _version(), _version(), Turns()

    async def main():
        await asyncio.gather(
            turns.predict(one, _rows(1)),
            turns.predict(other, _rows(2)),
            turns.predict(one, _rows(3)),
        )

    asyncio.run(main())
    assert (one.runner.calls, other.runner.calls) == ([[1, 3]], [[2]])


def _at_once(app, bodies):
    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            path = "/v1/models/churn/predict"
            return await asyncio.gather(*(client.post(path, json=body) for body in bodies))

    return asyncio.run(main())


def test_requests_of_a_quick_version_are_joined_and_answered_as_alone(
    make_client, make_served, record, noting
):
    served = replace(make_served(), row_seconds=0.0, joined=True)
    bodies = [{"records": [record | {"age": age}], "id": f"row-{age}"} for age in range(6)]
    bodies[4]["records"][0]["age"] = "x"
    runner = noting(served)

    answers = _at_once(make_client(replace(served, runner=runner)).app, bodies)
    alone = make_client(served, batch="off")
    for body, answer in zip(bodies, answers, strict=True):
        expected = alone.post("/v1/models/churn/predict", json=body)
        assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
    assert runner.sizes == [1, 4]  # the first was taken to be alone; a wrong one is no row


def test_a_canarys_requests_are_joined_among_themselves(make_served, record, noting):
    """Else one that is answered at once would look quicker than a champion whose requests wait."""
    served = replace(make_served(), row_seconds=0.0, joined=True)
    runners = noting(served), noting(served)
    champion, canary = (
        replace(served, number=number, runner=runner)
        for number, runner in enumerate(runners, start=1)
    )

    class Models(FixedModels):
        def route(self, name, identity):
            return canary if identity.startswith("c") else champion

    app = create_app(Models(champion), config=ServingConfig(), tokens={})
    bodies = [{"records": [record], "id": name} for name in ("a", "c1", "b", "c2", "d")]
    versions = [answer.headers["x-raymm-version"] for answer in _at_once(app, bodies)]
    assert versions == ["1", "2", "1", "2", "1"]
    assert [runner.sizes for runner in runners] == [[1, 2], [2]]
