"""At least once nothing is lost, whatever is killed, cut off or unsure: the state that is restored has all that the
group's offsets say was processed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.state.memory import MemoryStores
from ottla.transport.contract import Membership, Polled, TopicPartition
from ottla.transport.errors import OffsetsUnknownError
from ottla.transport.memory import MemoryTransport
from ottla.worker import recovery
from ottla.worker.worker import Worker

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]

SOURCE = TopicPartition("words", 0)
CHANGELOG = "counting-counts-changelog"


def counting_app(seen: list[str] | None = None) -> ottla.App:
    """Counts the words of a topic in a table."""
    app = ottla.App("counting", commit_interval=timedelta(milliseconds=2), processing_guarantee="at_least_once")
    counts = app.Table("counts", key=str, default=int)

    @app.agent(app.topic("words", key=str, value=str, partitions=1))
    async def count(words: ottla.Stream[str]) -> None:
        async for word in words:
            counts[word] += 1
            if seen is not None:
                seen.append(word)

    return app


def send(cluster: Any, *words: str) -> None:
    cluster.send("words", *[(word, word) for word in words])


def offset(cluster: Any) -> int:
    return int(cluster.offsets("counting").get(SOURCE, 0))


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)


class Held(MemoryTransport):
    """Polls and flushes wait while they are held, as those of a worker that is cut off from its broker."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.polls, self.flushes = asyncio.Event(), asyncio.Event()
        self.polls.set()
        self.flushes.set()
        self.flushing = 0

    async def poll(self, max_messages: int, timeout_s: float) -> Polled:
        await self.polls.wait()
        return await super().poll(max_messages, timeout_s)

    async def flush(self) -> None:
        self.flushing += 1
        try:
            await self.flushes.wait()
        finally:
            self.flushing -= 1


@asynccontextmanager
async def running(transport: MemoryTransport, app: ottla.App) -> AsyncIterator[Worker]:
    worker = Worker(app.topology, app.config, transport, MemoryStores())
    run = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await run


def held(cluster: Any, worker_id: str) -> Held:
    return Held(cluster.broker, "counting", worker_id, exactly_once=False)


def test_a_worker_whose_tasks_went_to_others_meanwhile_writes_no_state_behind_theirs(
    play: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        cut_off = held(cluster, "w0")
        async with running(cut_off, counting_app()):
            await eventually(lambda: "counting" in cluster.broker.groups and "words" in cluster.broker.topics)
            send(cluster, "a")
            await eventually(lambda: offset(cluster) == 1)
            cut_off.flushes.clear()
            send(cluster, "a")
            await eventually(lambda: cut_off.flushing == 1)
            cut_off.polls.clear()
            cluster.broker.expire("counting", "w0")
            async with running(held(cluster, "w1"), counting_app()):
                send(cluster, "a")
                await eventually(lambda: offset(cluster) == 3)
                assert cluster.state(CHANGELOG) == {"a": 3}
                cut_off.flushes.set()
                await eventually(lambda: cut_off.flushing == 0)
                for _ in range(10):
                    await asyncio.sleep(0)
                assert cluster.state(CHANGELOG) == {"a": 3}
                cut_off.polls.set()

    play(scenario)


def test_a_worker_that_hears_that_it_was_given_up_does_not_wait_until_its_records_are_written(
    play: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        cut_off = held(cluster, "w0")
        async with running(cut_off, counting_app()):
            await eventually(lambda: "words" in cluster.broker.topics)
            send(cluster, "a")
            await eventually(lambda: offset(cluster) == 1)
            cut_off.flushes.clear()
            send(cluster, "a")
            await eventually(lambda: cut_off.flushing == 1)
            cluster.broker.expire("counting", "w0")
            await eventually(lambda: cut_off.flushing == 0)
            cut_off.flushes.set()
            await eventually(lambda: offset(cluster) == 2)
            assert cluster.state(CHANGELOG) == {"a": 2}

    play(scenario)


class Unsure(MemoryTransport):
    """A commit of input offsets may fail, before the group has stored them or after."""

    stored: bool | None = None

    async def commit(
        self, offsets: Mapping[TopicPartition, int], membership: Membership | None = None
    ) -> dict[TopicPartition, int]:
        stored, self.stored = (self.stored, None) if SOURCE in offsets else (None, self.stored)
        if stored is False:
            raise OffsetsUnknownError("no answer")
        written = await super().commit(offsets, membership)
        if stored is True:
            raise OffsetsUnknownError("no answer")
        return written


@pytest.mark.parametrize("stored", [True, False])
def test_after_a_commit_without_an_answer_the_group_says_where_to_go_on(
    play: Play, eventually: Eventually, stored: bool
) -> None:
    async def scenario(cluster: Any) -> None:
        seen: list[str] = []
        transport = Unsure(cluster.broker, "counting", "w0", exactly_once=False)
        async with running(transport, counting_app(seen)) as worker:
            await eventually(lambda: "words" in cluster.broker.topics and worker.insight is not None)
            send(cluster, "a")
            await eventually(lambda: offset(cluster) == 1)
            transport.stored = stored
            send(cluster, "b")
            await eventually(lambda: transport.stored is None)
            send(cluster, "c")
            await eventually(lambda: offset(cluster) == 3)
        assert seen == (["a", "b", "c"] if stored else ["a", "b", "b", "c"])
        assert cluster.state(CHANGELOG) == {"a": 1, "b": 1 if stored else 2, "c": 1}

    play(scenario)
