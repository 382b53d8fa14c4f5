import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from raymm.errors import Overloaded
from raymm.serving.trial import PLACES, Trials, finished


def test_a_canary_holds_so_many_requests_and_the_next_one_begins_anew():
    first, second = (SimpleNamespace(name="m", number=number) for number in (1, 2))
    going = threading.Event()

    async def scene():
        trials = Trials(20.0)
        waiting = [
            asyncio.ensure_future(trials.run(first, lambda canary: going.wait(20)))
            for _ in range(PLACES)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="busy"):
            await trials.run(first, lambda canary: canary.number)
        going.set()
        assert all(await asyncio.gather(*waiting))
        assert await trials.run(first, lambda canary: canary.number) == 1
        assert await trials.run(second, lambda canary: canary.number) == 2

    asyncio.run(scene())


def test_one_that_is_late_is_asked_nothing_until_it_ends():
    canary, going = SimpleNamespace(name="m"), threading.Event()

    async def scene():
        trials = Trials(0.01)
        with pytest.raises(Overloaded, match="within"):
            await trials.run(canary, lambda _: going.wait(20))
        with pytest.raises(Overloaded, match="busy"):
            await trials.run(canary, lambda _: 1)
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
