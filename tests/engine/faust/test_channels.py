"""Channels of Faust apps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import ottla.faust as faust
from ottla import TopologyError


def test_a_channel_is_written_and_read_by_hand() -> None:
    async def scenario() -> list[Any]:
        channel = faust.App("shop").channel(value_type=int, maxsize=5)
        await channel.maybe_declare()
        await channel.put(1)
        await (await channel.send(key="k", value=2, timestamp=1.5, headers={"a": "b"}))
        assert not channel.empty()
        await channel.put(first := await channel.get())
        found = []
        async for event in channel:
            found.append((event.key, event.value, event.headers))
            if channel.empty():
                break
        return [first.value, *found]

    assert asyncio.run(scenario()) == [1, ("k", 2, {"a": b"b"}), (None, 1, {})]


def test_waiting_for_an_event_may_have_an_end() -> None:
    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            await faust.App("shop").channel().get(timeout=0.001)

    asyncio.run(scenario())


def test_nobody_is_called_when_something_was_sent() -> None:
    app = faust.App("shop")

    async def scenario() -> None:
        for to in (app.channel(), app.topic("t")):
            with pytest.raises(TopologyError, match=r"send\(callback=\) is not part"):
                await to.send(value=1, callback=print)

    asyncio.run(scenario())


async def first(of: AsyncIterator[Any], count: int) -> list[Any]:
    return [await anext(of) for _ in range(count)]


def test_a_channel_has_a_stream_for_who_is_no_agent() -> None:
    app = faust.App("shop")
    channel = app.channel()

    async def scenario() -> None:
        for number in range(1, 9):
            await channel.send(key=f"k{number}", value=number)
        stream = app.stream(channel, processors=[lambda number: number * 10]).filter(lambda number: number > 10)
        assert await first(aiter(stream), 2) == [20, 30]
        assert await first(channel.stream().items(), 1) == [("k4", 4)]
        [event] = await first(channel.stream().events(), 1)
        assert (event.key, event.value) == ("k5", 5)
        assert await first(channel.stream().take(2, within=10), 1) == [[6, 7]]
        assert await first(channel.stream().take(2, within=0.01), 1) == [[8]]
        with pytest.raises(TopologyError, match="the rest needs a topic"):
            channel.stream().group_by(str)

    asyncio.run(scenario())
