"""Agents that ask others in the middle of an event, which is possible at least once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla import Stream
from ottla.agents.client import Client
from ottla.errors import NotInTask
from ottla.state.memory import MemoryStores
from ottla.topology.topology import TaskId
from ottla.transport.contract import TopicPartition
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.questions import Questions
from ottla.worker.worker import Worker


def chain(concurrency: int = 1) -> tuple[ottla.App, list[Any]]:
    """`first` asks `second`, which asks `third`, and says what came of it."""
    app = ottla.App(
        "chain", store="memory", processing_guarantee="at_least_once", commit_interval=timedelta(milliseconds=5)
    )
    said: list[Any] = []

    @app.agent(app.topic("third", key=str, value=int, partitions=2))
    async def third(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            if number == 13:
                raise ValueError("no thirteens")
            yield number + 1

    @app.agent(app.topic("second", key=str, value=int, partitions=2))
    async def second(stream: Stream[int]) -> AsyncIterator[int]:
        async for key, number in stream.items():
            answer = await third.ask(number, key=key)
            assert answer is not None
            yield answer * 10

    @app.agent(app.topic("first", key=str, value=int, partitions=2), concurrency=concurrency)
    async def first(stream: Stream[int]) -> None:
        async for key, number in stream.items():
            said.append((number, await second.join([number, number + 1], key=key)))

    return app, said


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_agent_asks_another_which_asks_a_third(concurrency: int) -> None:
    app, said = chain(concurrency)
    with app.test() as driver:
        for number in range(4):
            driver.send("first", key=f"k{number}", value=number)
        driver.run()
    assert sorted(said) == [(number, [(number + 1) * 10, (number + 2) * 10]) for number in range(4)]


def test_an_error_fails_the_event_that_asked() -> None:
    app, said = chain()
    with app.test() as driver:
        driver.send("first", key="k", value=13)
        reasons = [dict(letter.headers)["ottla.error.reason"] or b"" for letter in driver.dead_letters()]
    assert said == []
    assert len(reasons) == 3
    assert any(b"agent 'second' failed: AgentFailed: agent 'third' failed" in reason for reason in reasons)


def test_a_worker_lets_those_go_on_that_are_to_answer_although_a_commit_is_due() -> None:
    app, said = chain()

    async def scenario() -> None:
        broker = MemoryBroker()
        transport = MemoryTransport(broker, app.id, "w0", exactly_once=False)
        worker = Worker(app.topology, app.config, transport, MemoryStores(), jobs=app.jobs)
        run = asyncio.create_task(worker.run())
        client = Client(app.config, MemoryTransport(broker, app.id, "client", exactly_once=False))
        async with asyncio.timeout(60), client:
            first = app.declared_topic("first")
            for number in range(10):
                await first.send(key=f"k{number}", value=number)
            while len(said) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        worker.stop()
        await run

    asyncio.run(scenario())
    assert sorted(said)[:10] == [(number, [(number + 1) * 10, (number + 2) * 10]) for number in range(10)]


def test_asking_oneself_is_refused() -> None:
    app = ottla.App("oneself", store="memory", processing_guarantee="at_least_once")

    @app.agent(app.topic("numbers", key=str, value=int, partitions=1))
    async def echo(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield await echo.ask(number) or 0

    with app.test() as driver:
        driver.send("numbers", key="k", value=1)
        [letter] = driver.dead_letters()
    reason = dict(letter.headers)["ottla.error.reason"] or b""
    assert b"the task that reads it is the same one, or waits for an answer of this one" in reason


def test_a_circle_of_questions_is_refused_and_others_are_not() -> None:
    tasks = [TaskId(number, 0) for number in range(3)]
    topics = [TopicPartition(f"of-{number}", 0) for number in range(3)]
    owners = dict(zip(topics, tasks, strict=True))
    outlet: Any = None
    questions = Questions(outlet, owners.get)
    with questions.waiting(tasks[0], topics[1]), questions.waiting(tasks[0], TopicPartition("elsewhere", 0)):
        with questions.waiting(tasks[1], topics[2]):
            assert questions.wanted == {topics[1], topics[2], TopicPartition("elsewhere", 0)}
            for circle in (topics[0], topics[1], topics[2]):
                with pytest.raises(NotInTask, match="use send"), questions.waiting(tasks[2], circle):
                    pass
        with questions.waiting(tasks[2], topics[1]), questions.waiting(tasks[0], topics[1]):
            pass
    assert questions.wanted == set()
