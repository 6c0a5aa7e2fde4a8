"""Channels: events in memory, agents over them, and what they may do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ottla
from ottla import Stream


def test_events_are_read_in_order_with_their_context(app: ottla.App) -> None:
    async def scenario() -> None:
        channel = app.channel()
        await channel.send(key="a", value=1, timestamp=7, headers=[("h", b"1")])
        await channel.send(value=2, timestamp=8)
        assert await channel.get() == ottla.Event("a", 1, 7, [("h", b"1")], "", -1, -1)
        async for event in channel:
            assert event.value == 2
            break
        assert channel.empty()

    asyncio.run(scenario())


def test_a_full_channel_makes_senders_wait(app: ottla.App) -> None:
    async def scenario() -> None:
        channel = app.channel(maxsize=2)
        sending = asyncio.gather(*(channel.send(value=number) for number in range(3)))
        await asyncio.sleep(0)
        assert not sending.done()
        await channel.get()
        await sending

    asyncio.run(scenario())
    with pytest.raises(ottla.ConfigError, match="a channel is bounded"):
        app.channel(maxsize=0)


def test_an_agent_over_a_channel_gets_what_stream_agents_send_and_sends_itself(app: ottla.App) -> None:
    channel = app.channel()
    out = app.topic("out", key=str, value=int)
    again = app.topic("again", key=str, value=int)

    @app.agent(channel, sink=[out])
    async def double(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number * 2

    @app.agent(app.topic("in", key=str, value=int), sink=[channel])
    def pass_on(number: int) -> int:
        return number + 1

    @app.agent(out, sink=[again])
    def see(number: int) -> int:
        return number

    with app.test() as driver:
        for number in (1, 2):
            driver.send("in", key=f"k{number}", value=number, timestamp=number, headers=[("h", b"1")])
        events = driver.read("again")
    assert [(event.key, event.value, event.timestamp, event.headers) for event in events] == [
        ("k1", 4, 1, [("h", b"1")]),
        ("k2", 6, 2, [("h", b"1")]),
    ]


@pytest.mark.parametrize("way", ["function", "generator", "items", "events", "enumerate", "take"])
def test_agents_over_channels_are_written_in_all_ways(app: ottla.App, way: str) -> None:
    channel = app.channel()
    seen: list[Any] = []

    if way == "function":

        @app.agent(channel, sink=[seen.append])
        def work(number: int) -> int | None:
            return None if number == 2 else number

    elif way == "generator":

        @app.agent(channel, sink=[seen.append])
        def work(number: int) -> Any:
            yield from range(number)

    else:

        @app.agent(channel)
        async def work(stream: Stream[int]) -> None:
            chosen: Any = stream.take(2, within=5) if way == "take" else getattr(stream, way)()
            async for each in chosen:
                seen.append(each)  # noqa: PERF401

    async def send() -> None:
        for number in (1, 2, 3, 4):
            await work.cast(number, key="k", timestamp=number)

    with app.test() as driver:
        driver.call(send)
        driver.run()
    expected: dict[str, Any] = {
        "function": [1, 3, 4],
        "generator": [0, 0, 1, 0, 1, 2, 0, 1, 2, 3],
        "items": [("k", number) for number in (1, 2, 3, 4)],
        "events": [ottla.Event("k", number, number, [], "", -1, -1) for number in (1, 2, 3, 4)],
        "enumerate": [(0, 1), (1, 2), (2, 3), (3, 4)],
        "take": [[1, 2], [3, 4]],
    }
    assert seen == expected[way]


def test_an_agent_over_a_channel_is_asked_even_from_an_agent(app: ottla.App) -> None:
    out = app.topic("out", key=str, value=int)

    @app.agent(app.channel())
    async def double(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            if number == 13:
                raise ValueError("no thirteens")
            if number:
                yield number * 2

    @app.agent(app.topic("in", key=str, value=int), sink=[out])
    async def asks(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield await double.ask(number)

    async def fails() -> None:
        assert await double.join([1, 0, 2]) == [2, None, 4]
        with pytest.raises(ottla.AgentFailed, match="agent 'double' failed: ValueError: no thirteens"):
            await double.ask(13)

    with app.test() as driver:
        driver.send("in", key="k", value=21)
        assert [event.value for event in driver.read(out)] == [42]
        driver.call(fails)


def test_several_instances_work_side_by_side(app: ottla.App) -> None:
    busy = most = 0

    @app.agent(app.channel(), concurrency=3)
    async def work(stream: Stream[int]) -> None:
        nonlocal busy, most
        async for _ in stream:
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.001)
            busy -= 1

    async def send() -> None:
        for number in range(6):
            await work.cast(number)

    with app.test() as driver:
        driver.call(send)
        driver.run()
    assert most == 3


def test_an_event_on_which_the_agent_raises_is_logged_and_gone(
    app: ottla.App, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    @app.agent(app.channel())
    async def work(stream: Stream[int]) -> None:
        async for number in stream:
            if number == 13:
                raise ValueError("no thirteens")
            seen.append(number)

    async def send() -> None:
        for number in (12, 13, 14):
            await work.cast(number)

    with caplog.at_level(logging.ERROR), app.test() as driver:
        driver.call(send)
        driver.run()
    assert seen == [12, 14]
    assert "agent work failed on" in caplog.text


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.agent(app.channel(), batch=True), "takes name=, sink= and concurrency= only"),
        (
            lambda app: app.agent(app.channel(), sink=["out"])(print),
            "must be a topic, a channel, an agent or a function",
        ),
    ],
)
def test_what_a_channels_agent_cannot_have_is_refused(
    app: ottla.App, declare: Callable[[ottla.App], object], message: str
) -> None:
    with pytest.raises(ottla.TopologyError, match=message):
        declare(app)
