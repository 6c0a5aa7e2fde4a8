"""What goes on while a commit is under way, and what waits for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.state.memory import MemoryStore, MemoryStores
from ottla.transport.contract import Membership, Polled, TopicPartition
from ottla.transport.errors import DeliveryError, TransactionAbortedError
from ottla.transport.memory import MemoryTransport
from ottla.worker import processing as processing_module
from ottla.worker import recovery
from ottla.worker.worker import Worker

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]

SOURCE = TopicPartition("words", 0)
MODES = pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])


class SlowCommits(MemoryTransport):
    """The commits of input offsets wait until they are let through, each by itself."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting = 0
        self.taken = 0
        self.polls = 0
        self._allowed = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def poll(self, max_messages: int, timeout_s: float) -> Polled:
        self.polls += 1
        return await super().poll(max_messages, timeout_s)

    def let_through(self, count: int = 1) -> None:
        for _ in range(count):
            self._allowed.release()

    async def commit(
        self, offsets: Mapping[TopicPartition, int], membership: Membership | None = None
    ) -> dict[TopicPartition, int]:
        if SOURCE in offsets:
            self.waiting += 1
            await self._allowed.acquire()
            self.waiting -= 1
            self.taken += 1
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
        return await super().commit(offsets, membership)


class Scene:
    """A counting app's worker whose commits are slow; `seen` are the words that its agent saw, of which it is at "slow"
    until it may go on."""

    def __init__(self, cluster: Any, mode: Any) -> None:
        self.cluster = cluster
        self.seen: list[str] = []
        self.may_go_on = asyncio.Event()
        self.stores = MemoryStores()
        app = ottla.App("counting", commit_interval=timedelta(milliseconds=5), processing_guarantee=mode)
        source = app.topic("words", key=str, value=str, partitions=1)
        counted = app.topic("counted", key=str, value=int, partitions=1)
        counts = app.Table("counts", key=str, default=int)

        @app.agent(source, sink=[counted])
        async def count(words: ottla.Stream[str]) -> AsyncIterator[int]:
            async for word in words:
                self.seen.append(word)
                if word == "slow":
                    await self.may_go_on.wait()
                counts[word] += 1
                yield counts[word]

        self.app = app
        self.transport = SlowCommits(cluster.broker, app.id, "w0", exactly_once=mode == "exactly_once")
        self.worker = Worker(app.topology, app.config, self.transport, self.stores)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        run = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.transport.let_through(100)
            self.worker.stop()
            await run

    def is_introduced(self) -> bool:
        """Whether the worker has told the others what it has, and as their leader which topics there are, for which it
        would settle everything."""
        if self.worker.insight is None:
            return False
        member = self.worker._member
        report = member.view.reports.get("w0")
        told = report is not None and report.warm == ["0_0"] and bool(member.view.topics)
        return told and not member.has_news and self.worker._commits.is_settled

    def send(self, *words: str) -> None:
        self.cluster.send("words", *[(word, word) for word in words])

    @property
    def offset(self) -> int:
        return int(self.cluster.offsets("counting").get(SOURCE, 0))

    @property
    def changelog(self) -> dict[str, int]:
        return dict(self.cluster.state("counting-counts-changelog"))


@MODES
def test_events_are_processed_while_a_commit_is_under_way(play: Play, eventually: Eventually, mode: Any) -> None:
    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, mode)
        async with scene.running():
            await eventually(scene.is_introduced)
            scene.send("a")
            await eventually(lambda: scene.transport.waiting == 1)
            scene.send("b", "a")
            await eventually(lambda: scene.seen == ["a", "b", "a"])
            if mode == "at_least_once":
                await eventually(lambda: cluster.values("counted") == ["1", "1", "2"])
                assert scene.changelog == {"a": 1}, "the state as it was when the commit began"
            else:
                assert cluster.values("counted") == [], "nothing of the next transaction is in this one"
            assert scene.offset == 0
            scene.transport.let_through()
            await eventually(lambda: scene.transport.taken == 1 and scene.transport.waiting == 1)
            assert scene.offset == 1
            assert scene.changelog["a"] == (2 if mode == "at_least_once" else 1)
            if mode == "exactly_once":
                assert cluster.values("counted") == ["1"]
            scene.transport.let_through()
            await eventually(lambda: scene.offset == 3)
            assert cluster.values("counted") == ["1", "1", "2"]
            assert scene.changelog == {"a": 2, "b": 1}

    play(scenario)


@MODES
def test_a_commit_that_fails_while_others_are_processed_takes_them_back(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)

    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, mode)
        async with scene.running():
            await eventually(scene.is_introduced)
            scene.send("a")
            await eventually(lambda: scene.transport.waiting == 1)
            scene.send("a", "a")
            await eventually(lambda: len(scene.seen) == 3)
            scene.transport.failure = (
                TransactionAbortedError("lost") if mode == "exactly_once" else DeliveryError("not delivered")
            )
            scene.transport.let_through(100)
            await eventually(lambda: scene.offset == 3)
            assert scene.seen == ["a"] * 6
            assert scene.changelog == {"a": 3}
            if mode == "exactly_once":
                assert cluster.values("counted") == ["1", "2", "3"]

    play(scenario)


@MODES
def test_what_fails_while_a_commit_is_under_way_keeps_that_commit(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)

    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, mode)
        async with scene.running():
            await eventually(scene.is_introduced)
            scene.send("a")
            await eventually(lambda: scene.transport.waiting == 1)
            polled = scene.transport.poll

            async def poll(*_: Any) -> Any:
                scene.transport.poll = polled  # type: ignore[method-assign]
                raise TransactionAbortedError("of the next one")

            scene.transport.poll = poll  # type: ignore[method-assign]
            await eventually(lambda: scene.transport.poll == polled)
            scene.transport.let_through(100)
            scene.send("a")
            await eventually(lambda: scene.offset == 2)
            assert scene.seen == ["a", "a"], "the first was committed and is not processed again"
            assert cluster.values("counted") == ["1", "2"]

    play(scenario)


@MODES
def test_a_worker_that_stops_waits_for_the_commit_under_way_and_then_commits_the_rest(
    play: Play, eventually: Eventually, mode: Any
) -> None:
    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, mode)
        run = asyncio.create_task(scene.worker.run())
        await eventually(scene.is_introduced)
        scene.send("a")
        await eventually(lambda: scene.transport.waiting == 1)
        scene.send("b")
        await eventually(lambda: len(scene.seen) == 2)
        scene.worker.stop()
        scene.transport.let_through(2)
        await run
        assert scene.offset == 2
        assert cluster.values("counted") == ["1", "1"]
        assert scene.stores.offset("0_0", "counts") is not None

    play(scenario)


@MODES
def test_a_commit_that_ends_while_a_task_is_at_a_batch_is_in_its_store_after_that(
    play: Play, eventually: Eventually, mode: Any
) -> None:
    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, mode)
        async with scene.running():
            await eventually(scene.is_introduced)
            scene.send("a")
            await eventually(lambda: scene.transport.waiting == 1)
            before = scene.stores.offset("0_0", "counts")
            scene.send("slow", "a")
            await eventually(lambda: scene.seen == ["a", "slow"])
            scene.transport.let_through(100)
            await eventually(lambda: scene.offset == 1)
            polled = scene.transport.polls
            await eventually(lambda: scene.transport.polls >= polled + 3)
            assert scene.stores.offset("0_0", "counts") == before
            scene.may_go_on.set()
            await eventually(lambda: scene.offset == 3)
            assert scene.changelog == {"a": 2, "slow": 1}
        assert cluster.values("counted") == ["1", "1", "2"]
        end = len(cluster.broker.topics["counting-counts-changelog"][0].entries)
        assert scene.stores.offset("0_0", "counts") == end - (mode == "exactly_once")

    play(scenario)


def test_output_that_is_held_back_is_bounded(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing_module, "_MOST_HELD", 2)

    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, "exactly_once")
        async with scene.running():
            await eventually(scene.is_introduced)
            scene.send("a")
            await eventually(lambda: scene.transport.waiting == 1)
            scene.send("b", "c")
            await eventually(lambda: len(scene.seen) == 3)
            scene.send("d")
            polled = scene.transport.polls
            await eventually(lambda: scene.transport.polls >= polled + 3)
            assert len(scene.seen) == 3
            scene.transport.let_through(100)
            await eventually(lambda: scene.offset == 4)

    play(scenario)


def test_tasks_that_went_to_others_wait_for_the_commit_under_way_before_their_stores_are_closed(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[int | None] = []
    monkeypatch.setattr(MemoryStore, "close", lambda store: closed.append(store.offset))

    async def scenario(cluster: Any) -> None:
        scene = Scene(cluster, "exactly_once")
        async with scene.running():
            await eventually(scene.is_introduced)
            scene.send("a")
            await eventually(lambda: scene.transport.waiting == 1)
            # As if the group had gone on without this worker, which has not heard of it
            scene.worker._member.grants = {}
            await eventually(lambda: "tasks went to others" in caplog.text)
            assert closed == []
            scene.transport.let_through()
            await eventually(lambda: bool(closed))
            assert closed[0] == 1, "behind the record of the commit"

    play(scenario)
