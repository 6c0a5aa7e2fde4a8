"""Agents that acknowledge their events themselves: `stream.noack()`, at least once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

import ottla.faust as faust
from ottla import TopologyError
from ottla.errors import OttlaError
from ottla.state.memory import MemoryStores
from ottla.task import unacked
from ottla.task.unacked import Unacked
from ottla.transport.contract import TopicPartition
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.worker import Worker

IN = TopicPartition("in", 0)


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", processing_guarantee="at_least_once", broker_commit_interval=timedelta(milliseconds=5))


def keeping(app: faust.App, held: list[faust.Event]) -> None:
    """An agent that acknowledges nothing, and fails on 13."""

    @app.agent(app.topic("in", value_type=int, partitions=1))
    async def keep(stream: faust.Stream[int]) -> AsyncIterator[int]:
        async for event in stream.noack().events():
            held.append(event)
            if event.value == 13:
                raise ValueError("no thirteens")
            yield event.value


def committed(driver: Any) -> int | None:
    offset: int | None = driver._broker.groups["shop"].offsets.get(IN)
    return offset


def test_offsets_go_as_far_as_the_first_that_waits(app: faust.App) -> None:
    held: list[faust.Event] = []
    keeping(app, held)
    with app.ottla.test() as driver:
        driver.send("in", value=0)
        driver.send("in", value=1)
        driver.send("in", value=2)
        driver.run()
        assert committed(driver) == 0
        held[1].ack()
        driver.run()
        assert committed(driver) == 0
        held[0].ack()
        assert held[0].ack(), "again changes nothing"
        driver.run()
        assert committed(driver) == 2
        driver.crash_and_restart()
        driver.run()
        assert [event.value for event in held] == [0, 1, 2, 2]


def test_an_event_that_fails_is_dealt_with(app: faust.App) -> None:
    held: list[faust.Event] = []
    keeping(app, held)
    with app.ottla.test() as driver:
        driver.send("in", value=13)
        assert len(driver.dead_letters()) == 1
        assert committed(driver) == 1


def test_values_are_acknowledged_by_the_event_at_hand(app: faust.App) -> None:
    @app.agent(app.topic("in", value_type=int, partitions=1))
    async def some(stream: faust.Stream[int]) -> None:
        async for value in stream.noack():
            event = stream.current_event
            assert event is not None
            if value < 2:
                assert await stream.ack(event)

    with app.ottla.test() as driver:
        for value in (0, 1, 2, 3):
            driver.send("in", value=value)
        driver.run()
        assert committed(driver) == 2


def test_a_worker_commits_what_is_acknowledged_later(app: faust.App) -> None:
    held: list[faust.Event] = []
    keeping(app, held)

    async def scenario() -> None:
        broker = MemoryBroker({"in": 1})
        declared = app.ottla
        transport = MemoryTransport(broker, "shop", "w0", exactly_once=False)
        worker = Worker(app.topology, declared.config, transport, MemoryStores(), jobs=declared.jobs)
        run = asyncio.create_task(worker.run())
        async with asyncio.timeout(60):
            async with declared_client(declared, broker):
                await app.send("in", value=1)
            while not held:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            held[0].ack()
            while broker.groups["shop"].offsets.get(IN) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        worker.stop()
        await run

    asyncio.run(scenario())


def declared_client(declared: Any, broker: MemoryBroker) -> Any:
    from ottla.agents.client import Client

    return Client(declared.config, MemoryTransport(broker, "shop", "client", exactly_once=False))


def test_exactly_once_has_no_use_for_it() -> None:
    app = faust.App("shop")
    keeping(app, [])
    with pytest.raises(TopologyError, match=r"noack\(\) is not to be had exactly once"):
        app.finalize()


def test_not_all_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unacked, "MOST_UNACKED", 2)
    waiting = Unacked()
    waiting.hold(IN, 3)
    waiting.hold(IN, 3)
    waiting.hold(IN, 4)
    with pytest.raises(OttlaError, match="2 events of in-0 wait"):
        waiting.hold(IN, 5)
    waiting.release(IN, 3)
    assert (waiting.moved, waiting.held_back({IN: 9})) == (False, {IN: 3})
    waiting.release(IN, 3)
    assert (waiting.moved, waiting.held_back({IN: 9, TopicPartition("other", 0): 7})) == (
        True,
        {IN: 4, TopicPartition("other", 0): 7},
    )
