"""Streams of topics that tasks iterate: read by a group of their own, at least once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

import ottla.faust as faust
from ottla import TopologyError
from ottla.errors import DecodeError, NotInTask
from ottla.faust import reading
from ottla.outlet import Outlet, outlet
from ottla.transport.contract import OutputRecord, TopicPartition
from ottla.transport.errors import DeliveryError
from ottla.transport.memory import MemoryBroker, MemoryTransport

Read = Callable[[Callable[[], Awaitable[Any]]], Any]

GROUP = "shop-in-stream"


class Onward(Outlet):
    """Stands for the worker's outbox."""

    def __init__(self) -> None:
        self.records: list[OutputRecord] = []

    def now_ms(self) -> int:
        return 0

    async def partition_counts(self, topics: Any) -> dict[str, int]:
        return dict.fromkeys(topics, 2)

    async def send(self, records: Any) -> None:
        self.records += records


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker({"in": 2, "out": 1})


@pytest.fixture
def app(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> faust.App:
    monkeypatch.setattr(
        reading,
        "transport_of",
        lambda _, group, held: MemoryTransport(broker, group, f"reader-{id(held)}", exactly_once=False),
    )
    app = faust.App("shop")
    app.conf.broker_commit_interval = 0.0
    return app


def write(broker: MemoryBroker, *values: int, partition: int = 0) -> None:
    broker.append([OutputRecord("in", b"k", b"%d" % value, 1_000 * value, [], partition) for value in values])


def play(scenario: Callable[[], Awaitable[Any]]) -> Onward:
    """Runs code as a task of a worker does; returns what went to the worker's outbox."""
    onward = Onward()

    async def as_task() -> None:
        outlet.set(onward)
        await asyncio.wait_for(scenario(), 20)

    asyncio.run(as_task())
    return onward


async def first(count: int, of: AsyncIterator[Any]) -> list[Any]:
    """So many of them, of which the last is not done."""
    found = []
    async with aclosing(of) as each_of:  # type: ignore[type-var]
        async for each in each_of:
            found.append(each)
            if len(found) == count:
                break
    return found


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.005)


def committed(broker: MemoryBroker) -> dict[TopicPartition, int]:
    return dict(broker.groups[GROUP].offsets)


def test_a_task_iterates_a_topic_and_goes_on_where_it_stopped(app: faust.App, broker: MemoryBroker) -> None:
    numbers = app.topic("in", value_type=int)
    write(broker, 1, 2, 3)

    async def scenario() -> None:
        assert await first(2, aiter(numbers.stream())) == [1, 2]
        assert await first(2, aiter(app.stream(numbers))) == [2, 3]

    play(scenario)
    assert committed(broker) == {TopicPartition("in", 0): 2}


def test_a_stream_is_iterated_in_every_way(app: faust.App, broker: MemoryBroker) -> None:
    numbers = app.topic("in", key_type=str, value_type=int)
    write(broker, 1, 2, 3, 4)

    async def scenario() -> None:
        assert await first(1, numbers.stream().items()) == [("k", 1)]
        [event] = await first(1, numbers.stream().events())
        assert (event.value, event.message.offset, event.message.timestamp) == (1, 0, 1.0)
        assert await first(1, numbers.stream().enumerate(5)) == [(5, 1)]
        assert await first(2, numbers.stream().take(2, within=10)) == [[1, 2], [3, 4]]
        assert await first(1, numbers.stream().take(2, within=0.01)) == [[3, 4]]
        [events] = await first(1, numbers.stream().take_events(9, within=0.01))
        assert [event.value for event in events] == [3, 4]

    play(scenario)


def test_processors_and_filters_see_the_values(app: faust.App, broker: MemoryBroker) -> None:
    numbers = app.topic("in", value_type=int)
    write(broker, 1, 2, 3, 4)

    async def is_even(value: int) -> bool:
        return value % 2 == 0

    async def scenario() -> None:
        stream = app.stream(numbers, processors=[lambda value: value * 10]).filter(lambda value: value > 10)
        assert await first(2, aiter(stream)) == [20, 30]
        assert await first(1, numbers.stream().filter(is_even).enumerate()) == [(0, 4)]
        with pytest.raises(TopologyError, match="but for values where an agent iterates it"):
            await first(1, numbers.stream().filter(is_even).events())
        with pytest.raises(TopologyError, match="has group_by where an agent iterates it"):
            await first(1, aiter(numbers.stream().group_by(lambda value: value)))

    play(scenario)


def test_what_the_task_sends_is_written_before_its_events_are_done(app: faust.App, broker: MemoryBroker) -> None:
    numbers, doubles = app.topic("in", value_type=int), app.topic("out", value_type=int)
    write(broker, 1, 2)

    async def scenario() -> None:
        seen = 0
        async with aclosing(aiter(numbers.stream())) as stream:  # type: ignore[type-var]
            async for number in stream:
                assert len(broker.messages("out")) == seen
                await doubles.send(value=number * 2)
                seen += 1
                if seen == 2:
                    break
        await doubles.send(value=0)

    onward = play(scenario)
    assert [message.value() for message in broker.messages("out")] == [b"2", b"4"]
    assert committed(broker) == {TopicPartition("in", 0): 1}
    assert [record.value for record in onward.records] == [b"0"]


def test_what_did_not_commit_comes_again(app: faust.App, broker: MemoryBroker) -> None:
    numbers = app.topic("in", value_type=int)
    write(broker, 1, 2, 3)
    broker.fail_next_commits("in", DeliveryError("not now"))

    async def scenario() -> None:
        assert await first(4, aiter(numbers.stream())) == [1, 1, 2, 3]

    play(scenario)


def test_two_workers_share_the_partitions(app: faust.App, broker: MemoryBroker) -> None:
    numbers = app.topic("in", value_type=int)
    seen: list[int] = []

    async def read() -> None:
        async for number in numbers.stream():
            seen.append(number)  # noqa: PERF401

    async def scenario() -> None:
        tasks = [asyncio.create_task(read()) for _ in range(2)]
        await until(lambda: {len(each._positions) for each in broker.groups[GROUP].members.values()} == {1})
        write(broker, 1, 2, partition=0)
        write(broker, 3, 4, partition=1)
        await until(lambda: len(seen) == 4)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    play(scenario)
    assert sorted(seen) == [1, 2, 3, 4]


def test_an_event_that_cannot_be_read_ends_the_stream(app: faust.App, broker: MemoryBroker) -> None:
    numbers = app.topic("in", value_type=int)
    broker.append([OutputRecord("in", None, b"x", 0, [], 0)])

    async def scenario() -> None:
        with pytest.raises(DecodeError, match="the event of in/0 at 0 cannot be read"):
            await first(1, aiter(numbers.stream()))

    play(scenario)


def test_new_streams_may_begin_with_what_is_new(broker: MemoryBroker, app: faust.App) -> None:
    app.conf.consumer_auto_offset_reset = "latest"
    numbers = app.topic("in", value_type=int)
    write(broker, 1)

    async def scenario() -> None:
        reads = asyncio.create_task(first(1, aiter(numbers.stream())))
        await until(lambda: any(each._positions for each in broker.groups[GROUP].members.values()))
        write(broker, 2)
        assert await reads == [2]

    play(scenario)


def test_where_no_worker_runs_a_stream_is_refused(app: faust.App) -> None:
    async def scenario() -> None:
        with pytest.raises(NotInTask, match="the stream of in works in"):
            await first(1, aiter(app.topic("in").stream()))

    asyncio.run(scenario())


def test_an_agent_iterates_its_own_stream_only() -> None:
    app = faust.App("shop")
    other = app.topic("other")

    @app.agent(app.topic("in"))
    async def read(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            async for _ in other.stream():
                pass

    with app.ottla.test() as driver:
        driver.send("in", value=1)
        [letter] = driver.dead_letters()
    assert b"is not iterated within an agent" in (dict(letter.headers)["ottla.error.reason"] or b"")
