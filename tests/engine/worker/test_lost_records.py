"""Records that are deleted under a running worker before it has read them: named, counted, or a reason to stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.errors import RecordsLost, TopologyError
from ottla.transport.contract import TopicPartition
from ottla.worker import pace, workload

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
NUMBERS = TopicPartition("numbers", 0)


class Slow:
    """An app that waits for `go` at its first number, while little is buffered."""

    def __init__(self, **options: Any) -> None:
        self.go = asyncio.Event()
        self.waits = False
        self.app = ottla.App("slow", commit_interval=timedelta(milliseconds=5), **options)
        numbers = self.app.topic("numbers", key=str, value=int, partitions=1)

        @self.app.agent(numbers, sink=[self.app.topic("seen", key=str, value=int, partitions=1)])
        async def see(numbers: ottla.Stream[int]) -> AsyncIterator[int]:
            async for number in numbers:
                self.waits = True
                await self.go.wait()
                yield number


@pytest.fixture(autouse=True)
def little_is_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "_BUFFERED_HIGH", 1)
    monkeypatch.setattr(workload, "_BUFFERED_LOW", 1)
    monkeypatch.setattr(pace, "FIRST_POLL_MESSAGES", 2)
    monkeypatch.setattr(pace, "_MAX_POLL_MESSAGES", 2)


async def lags(cluster: Any, slow: Slow, eventually: Eventually) -> None:
    """The worker has read a few of ten numbers when the first eight are deleted."""
    cluster.send("numbers", *[("a", str(number)) for number in range(10)])
    await eventually(lambda: slow.waits)
    cluster.broker.delete_records_before(NUMBERS, 8)
    slow.go.set()


def test_they_are_named_and_counted_and_reading_goes_on(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        slow = Slow()
        async with cluster.running(slow.app) as worker:
            await eventually(lambda: "numbers" in cluster.broker.topics)
            await lags(cluster, slow, eventually)
            await eventually(lambda: cluster.values("seen")[-2:] == ["8", "9"])
            read = len(cluster.values("seen")) - 2
            assert cluster.values("seen")[:read] == list(map(str, range(read)))
            assert (
                f"numbers[0]: the records from offset {read} up to 7 were deleted before they were read; "
                "reading goes on at 8"
            ) in caplog.messages
            labels = {"app": "slow", "topic": "numbers", "partition": "0"}
            assert worker.metrics.registry.get_sample_value("ottla_lost_records_total", labels) == 8 - read
        assert cluster.offsets("slow") == {NUMBERS: 10}

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)


def test_an_app_may_rather_stop_and_has_skipped_nothing_then(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        slow = Slow(on_lost_records="fail")
        worker = cluster.worker(slow.app)
        running = asyncio.create_task(worker.run())
        await eventually(lambda: "numbers" in cluster.broker.topics)
        await lags(cluster, slow, eventually)
        with pytest.raises(
            RecordsLost, match=r"numbers\[0\]: the records from offset \d up to 7 were deleted .*, which"
        ):
            await running
        read = cluster.offsets("slow").get(NUMBERS, 0)
        assert cluster.values("seen") == list(map(str, range(read)))
        # When it is started as it was, it finds that out at once
        if read:
            with pytest.raises(RecordsLost, match=rf"the records from offset {read} up to 7 were deleted"):
                await cluster.run_to_end(slow.app)
        # When it is told to go on, it does
        again = Slow(on_lost_records="continue")
        again.go.set()
        await cluster.run_to_end(again.app)
        assert cluster.values("seen") == [*map(str, range(read)), "8", "9"]

    play(scenario)


def test_when_all_are_deleted_the_place_behind_them_is_committed(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        slow = Slow()
        slow.go.set()
        async with cluster.running(slow.app):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "0"))
            await eventually(lambda: cluster.values("seen") == ["0"])
        cluster.send("numbers", ("a", "1"))
        cluster.broker.delete_records_before(NUMBERS, 2)
        for _ in range(2):
            await cluster.run_to_end(slow.app)
        assert cluster.offsets("slow") == {NUMBERS: 2}

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    assert sum("were deleted before they were read" in each for each in caplog.messages) == 1


def test_what_was_deleted_before_an_app_ever_read_is_no_loss(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(cluster: Any) -> None:
        slow = Slow(on_lost_records="fail")
        slow.go.set()
        cluster.broker.create_topic(slow.app.topology.topics[0])
        cluster.send("numbers", ("a", "0"), ("a", "1"), ("a", "2"))
        cluster.broker.delete_records_before(NUMBERS, 1)
        await cluster.run_to_end(slow.app)
        assert cluster.values("seen") == ["1", "2"]

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    assert not caplog.messages


def test_a_topic_that_ends_before_what_was_read_of_it_is_not_read_again(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        slow = Slow()
        slow.go.set()
        async with cluster.running(slow.app):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "0"), ("a", "1"), ("a", "2"))
            await eventually(lambda: len(cluster.values("seen")) == 3)
            cluster.broker.topics["numbers"][0].entries[1:] = []
            cluster.broker.wake()
            await eventually(lambda: any("now ends at 1" in each for each in caplog.messages))
            cluster.send("numbers", ("a", "3"))
            await eventually(lambda: len(cluster.values("seen")) == 4)
        assert cluster.values("seen") == ["0", "1", "2", "3"]

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)


def test_a_topic_that_was_made_anew_under_a_worker_ends_it_at_once(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        slow = Slow()
        slow.go.set()
        running = asyncio.create_task(cluster.worker(slow.app).run())
        await eventually(lambda: "numbers" in cluster.view("slow").topics)
        cluster.send("numbers", ("a", "0"), ("a", "1"), ("a", "2"))
        await eventually(lambda: len(cluster.values("seen")) == 3)
        cluster.broker.delete_topic("numbers")
        cluster.broker.create_topic(slow.app.topology.topics[0])
        cluster.broker.wake()
        with pytest.raises(TopologyError, match="'numbers' was deleted and made anew"):
            await running

    play(scenario)
