import asyncio
import gc
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from raymm.errors import Overloaded
from raymm.serving.tally import Tally
from raymm.serving.trial import PLACES, CanaryBusy, Trials, finished


def _trials(seconds, max_wait="off"):
    return Trials(seconds, max_wait=max_wait, joined=True)


def test_a_canary_holds_so_many_requests_and_the_next_one_begins_anew():
    first, second = (SimpleNamespace(name="m", number=number) for number in (1, 2))
    going = threading.Event()

    async def scene():
        trials = _trials(20.0)
        waiting = [
            asyncio.ensure_future(trials.run(first, lambda canary: going.wait(20)))
            for _ in range(PLACES)
        ]
        await asyncio.sleep(0)
        with pytest.raises(CanaryBusy, match=f"{PLACES} requests"):
            await trials.run(first, lambda canary: canary.number)
        going.set()
        assert all(await asyncio.gather(*waiting))
        assert await trials.run(first, lambda canary: canary.number) == 1
        assert await trials.run(second, lambda canary: canary.number) == 2

    asyncio.run(scene())


def test_one_that_is_late_is_asked_nothing_until_it_ends():
    canary, going = SimpleNamespace(name="m"), threading.Event()

    async def scene():
        trials = _trials(0.01)
        with pytest.raises(Overloaded, match="within"):
            await trials.run(canary, lambda _: going.wait(20))
        with pytest.raises(Overloaded, match="was late") as stuck:
            await trials.run(canary, lambda _: 1)
        assert not isinstance(stuck.value, CanaryBusy)
        going.set()
        await asyncio.to_thread(trials._trials["m"]._late.result)
        trials._seconds = 20.0
        assert await trials.run(canary, lambda _: 1) == 1

    asyncio.run(scene())


@pytest.mark.slow
def test_a_jobs_error_is_told_to_nobody_else(caplog):
    def fails():
        raise ValueError("a client's secret")

    async def main():
        with ThreadPoolExecutor(1) as threads:
            assert await finished(threads.submit(fails), 10)
            late = threads.submit(lambda: time.sleep(0.05) or fails())
            assert not await finished(late, 0.001)
            await asyncio.sleep(0.1)
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert not caplog.records


def test_what_waits_for_a_canary_is_predicted_together_until_another_takes_its_place():
    going, sizes = threading.Event(), []

    class Runner:
        def predict(self, tensors):
            sizes.append(len(tensors["a"]))
            going.wait(20)
            return tensors["a"] + 1

    first, second = (
        SimpleNamespace(name="m", runner=Runner(), joined=True, tally=Tally()) for _ in range(2)
    )

    async def scene():
        trials = _trials(20.0)
        asked = [
            asyncio.ensure_future(trials.predict(first, {"a": np.array([place])}))
            for place in range(PLACES)
        ]
        while not sizes:
            await asyncio.sleep(0.001)
        with pytest.raises(CanaryBusy):
            await trials.predict(first, {"a": np.array([0])})
        going.set()
        assert [one.tolist() for one in await asyncio.gather(*asked)] == [
            [place + 1] for place in range(PLACES)
        ]
        assert sum(sizes) == PLACES
        assert len(sizes) <= 2

        going.clear()
        sizes.clear()
        begun = asyncio.ensure_future(trials.predict(first, {"a": np.array([0])}))
        while not sizes:
            await asyncio.sleep(0.001)
        waits = asyncio.ensure_future(trials.predict(first, {"a": np.array([0])}))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(trials.predict(second, {"a": np.array([7])}))
        await asyncio.sleep(0)  # which ends the trial of the first
        going.set()
        assert (await begun).tolist() == [1]
        assert (await other).tolist() == [8]
        with pytest.raises(CancelledError):
            await waits

    asyncio.run(scene())


def test_who_leaves_before_a_canary_begins_is_not_answered():
    going, done = threading.Event(), []

    async def scene():
        trials, canary = _trials(20.0), SimpleNamespace(name="m")
        first = asyncio.ensure_future(trials.run(canary, lambda _: going.wait(20)))
        second = asyncio.ensure_future(trials.run(canary, lambda _: done.append(1)))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait([second])
        going.set()
        assert await first
        assert await trials.run(canary, lambda _: 1) == 1

    asyncio.run(scene())
    assert done == []


def test_who_would_wait_too_long_for_a_canary_finds_it_busy_and_one_that_hangs_late():
    """As long as for a champion: what their answers take is compared."""
    going, begun = threading.Event(), threading.Event()

    class Runner:
        def predict(self, tensors):
            begun.set()
            assert going.wait(20)
            return tensors["a"]

    canary = SimpleNamespace(
        name="m", runner=Runner(), joined=False, tally=Tally(), row_seconds=100.0
    )

    async def scene():
        trials = _trials(0.5, max_wait="auto")
        row = {"a": np.array([0])}
        asked = [asyncio.ensure_future(trials.predict(canary, row)) for _ in range(2)]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        with pytest.raises(CanaryBusy, match="may wait 100 s"):
            await trials.predict(canary, row)
        with pytest.raises(Overloaded, match=r"within 0\.5 s") as late:
            await asked[0]
        assert not isinstance(late.value, CanaryBusy)
        for one in asked[1:]:
            with pytest.raises(CanaryBusy, match="has not begun"):
                await one
        with pytest.raises(Overloaded, match="still at a request") as late:
            await trials.predict(canary, row)
        assert not isinstance(late.value, CanaryBusy)
        going.set()

    asyncio.run(scene())
