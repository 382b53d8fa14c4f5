import asyncio

import pytest

from raymm.serving.flights import Flights


def test_those_who_ask_at_once_share_one_making():
    async def scenario():
        flights, begun, go = Flights(), [], asyncio.Event()

        async def make():
            begun.append(True)
            await go.wait()
            return len(begun)

        asking = [asyncio.create_task(flights.share("a", make)) for _ in range(20)]
        other = asyncio.create_task(flights.share("b", make))
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        assert len(begun) == 2
        go.set()
        assert await asyncio.gather(*asking[1:], other) == [2] * 20
        assert await flights.share("a", make) == 3

    asyncio.run(scenario())


def test_a_failure_is_told_to_all_and_not_kept():
    async def scenario():
        flights = Flights()

        async def fail():
            await asyncio.sleep(0)
            raise ValueError("away")

        async def make():
            return 1

        asking = [flights.share("a", fail) for _ in range(3)]
        assert [str(one) for one in await asyncio.gather(*asking, return_exceptions=True)] == [
            "away"
        ] * 3
        with pytest.raises(ValueError, match="away"):
            await flights.share("a", fail)
        assert await flights.share("a", make) == 1

    asyncio.run(scenario())
