"""The worker: what is committed together, what happens when a commit fails, how runs end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import ottla
from ottla.transport.contract import ANY_TIME, TopicPartition
from ottla.transport.errors import DeliveryError, FatalTransportError, TransactionAbortedError, TransportError
from ottla.transport.memory import MemoryTransport
from ottla.worker import recovery
from ottla.worker import worker as worker_module
from ottla.worker import workload as workload_module

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]


def counting_app(*, partitions: int = 1, **options: Any) -> ottla.App:
    """Counts the words of a topic in a table and writes every new count."""
    app = ottla.App("counting", commit_interval=timedelta(milliseconds=10), **options)
    words = app.topic("words", key=str, value=str, partitions=partitions)
    counted = app.topic("counted", key=str, value=int, partitions=1)
    counts = app.Table("counts", key=str, default=int)

    @app.agent(words)
    async def count(words: ottla.Stream[str]) -> None:
        async for word in words:
            counts[word] += 1
            await counted.send(key=word, value=counts[word])

    return app


def words(*given: str) -> list[tuple[str, str]]:
    return [(word, word) for word in given]


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_bounded_run_processes_all_commits_and_returns(play: Play, guarantee: Any) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app(partitions=3, processing_guarantee=guarantee)
        await cluster.run_to_end(app)
        cluster.send("words", *words("a", "b", "a", "c", "a"))
        summary = await cluster.run_to_end(app)
        assert summary.events == 5
        assert cluster.latest("counted") == {"a": "3", "b": "1", "c": "1"}
        assert cluster.state("counting-counts-changelog") == {"a": 3, "b": 1, "c": 1}
        assert sum(cluster.offsets("counting").values()) == 5

    play(scenario)


def test_a_restarted_worker_goes_on_where_it_was(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        for _ in range(3):
            await cluster.run_to_end(app)
            cluster.send("words", *words("a", "b"))
        await cluster.run_to_end(app)
        assert cluster.values("counted") == ["1", "1", "2", "2", "3", "3"]

    play_anywhere(scenario)


def test_a_worker_without_its_state_restores_it_from_the_changelog(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        cluster.send("words", *words("a", "a", "b"))
        await cluster.run_to_end(app)
        cluster.send("words", *words("a"))
        summary = await cluster.run_to_end(app, "another")
        assert summary.events == 1
        assert cluster.values("counted")[-1] == "3"

    play_anywhere(scenario)


def test_what_was_counted_restored_and_committed_is_measured(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        cluster.send("words", *words("a", "a", "b"))
        await cluster.run_to_end(app)
        cluster.send("words", *words("a"))
        another = cluster.worker(app, "another", until_end=True)
        await another.run()
        for name, value in (
            ("events_total", 1),
            ("produced_records_total", 1),
            ("changelog_records_total", 1),
            ("restored_records_total", 2),
            ("restore_seconds_count", 1),
        ):
            assert _sample(another, f"ottla_{name}") == value, name
        assert (_sample(another, "ottla_commit_seconds_count") or 0) >= 1

    play(scenario)


def test_state_that_its_changelog_does_not_know_any_more_is_restored_whole(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        cluster.send("words", *words("a", "b"))
        await cluster.run_to_end(app)
        # The topic was made anew by someone, with another content, and it is shorter than the store's offset.
        changelog = TopicPartition("counting-counts-changelog", 0)
        cluster.broker.partition(changelog).entries.clear()
        cluster.send(changelog.topic, ("a", msgspec.msgpack.encode(10).decode()), partition=0)
        cluster.send("words", *words("a", "b"))
        await cluster.run_to_end(app)
        assert cluster.values("counted")[-2:] == ["11", "1"]

    play(scenario)


def test_a_failed_commit_is_made_anew_without_loss_or_duplicate(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        cluster.send("words", *words("a", "b", "a"))
        cluster.broker.fail_next_commits(
            "words", TransactionAbortedError("lost"), TransactionAbortedError("lost again")
        )
        await cluster.run_to_end(app)
        assert cluster.values("counted") == ["1", "1", "2"]
        assert cluster.state("counting-counts-changelog") == {"a": 2, "b": 1}

    play(scenario)


def test_at_least_once_a_failed_delivery_loses_nothing(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app(processing_guarantee="at_least_once")
        await cluster.run_to_end(app)
        cluster.send("words", *words("a", "b"))
        cluster.broker.fail_next_commits("words", DeliveryError("not delivered"))
        await cluster.run_to_end(app)
        assert cluster.values("counted") == ["1", "1", "1", "1"], "written twice, counted once"
        cluster.send("words", *words("a"))
        await cluster.run_to_end(app)
        assert cluster.values("counted")[-1] == "2"

    play(scenario)


def test_a_commit_that_fails_again_and_again_ends_the_worker(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)

    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        cluster.send("words", *words("a"))
        cluster.broker.fail_next_commits("words", *[TransactionAbortedError("no room")] * 6)
        with pytest.raises(TransactionAbortedError, match="no room"):
            await cluster.run_to_end(app)
        assert cluster.values("counted") == []
        await cluster.run_to_end(app)
        assert cluster.values("counted") == ["1"]

    play(scenario)


def test_a_worker_of_the_same_id_ends_the_older_one(play_anywhere: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        old = asyncio.create_task(cluster.worker(app).run())
        cluster.send("words", *words("a"))
        await eventually(lambda: cluster.values("counted") == ["1"])
        async with cluster.running(app):
            with pytest.raises(FatalTransportError, match="worker id"):
                await old

    play_anywhere(scenario)


def test_stopping_commits_what_was_processed(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        app.config = type(app.config)("counting", commit_interval_ms=60_000)
        await cluster.run_to_end(app)
        async with cluster.running(app) as worker:
            await eventually(lambda: cluster.warm("counting", "w0") == ["0_0"])
            cluster.send("words", *words("a", "b"))
            await eventually(lambda: worker.metrics.registry.get_sample_value("ottla_events_total", APP) == 2)
            assert cluster.values("counted") == []
        assert cluster.values("counted") == ["1", "1"]

    play(scenario)


APP = {"app": "counting"}


def test_an_event_that_fails_ends_the_worker_when_the_app_says_so(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("failing", on_error="fail")
        numbers = app.topic("numbers", key=str, value=int, partitions=1)
        doubled = app.topic("doubled", key=str, value=int, partitions=1)
        app.stream(numbers).map(lambda number: number * 2).to(doubled)
        await cluster.run_to_end(app)
        cluster.send("numbers", ("a", "1"), ("b", "two"), ("c", "3"))
        with pytest.raises(ottla.ProcessingFailed, match=r"numbers\[0\] offset 1"):
            await cluster.run_to_end(app)
        assert cluster.values("doubled") == []
        assert cluster.offsets("failing") == {}

    play(scenario)


def test_a_slow_agent_holds_back_the_commit_and_not_the_other_tasks(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("waiting", commit_interval=timedelta(milliseconds=1))
        slow, fast = (app.topic(name, key=str, value=str, partitions=1) for name in ("slow", "fast"))
        seen: list[str] = []
        answered = asyncio.Event()

        @app.agent(slow)
        async def ask(events: ottla.Stream[str]) -> None:
            async for _ in events:
                await answered.wait()

        @app.agent(fast)
        async def note(events: ottla.Stream[str]) -> None:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - as an app would

        await cluster.run_to_end(app)
        async with cluster.running(app):
            cluster.send("slow", ("s", "1"))
            cluster.send("fast", ("f", "1"))
            await eventually(lambda: seen == ["1"])
            assert cluster.offsets("waiting") == {}
            answered.set()
            await eventually(lambda: len(cluster.offsets("waiting")) == 2)

    play(scenario)


def test_stopping_does_not_wait_for_ever_for_an_agent(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "_FINISH_TIMEOUT_S", 0.1)

    async def scenario(cluster: Any) -> None:
        app = ottla.App("stuck")
        events = app.topic("events", key=str, value=str, partitions=1)
        began = asyncio.Event()

        @app.agent(events)
        async def hang(events: ottla.Stream[str]) -> None:
            async for _ in events:
                began.set()
                await asyncio.sleep(3600)

        await cluster.run_to_end(app)
        async with cluster.running(app):
            cluster.send("events", ("a", "1"))
            await began.wait()
        assert cluster.offsets("stuck") == {}

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    assert "did not finish" in caplog.text


def test_stopping_does_not_wait_for_ever_for_the_broker(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "_FINISH_TIMEOUT_S", 0.1)

    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        async with cluster.running(app):
            await eventually(lambda: cluster.warm("counting", "w0") == ["0_0"])
            waiting = asyncio.Event()

            async def commit(*_: Any) -> Any:
                waiting.set()
                await asyncio.sleep(3600)

            monkeypatch.setattr(MemoryTransport, "commit", commit)
            cluster.send("words", *words("a"))
            await waiting.wait()
        monkeypatch.undo()
        await cluster.run_to_end(app)
        assert cluster.values("counted") == ["1"]

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    assert "did not take the last commit" in caplog.text


def test_partitions_are_shared_among_workers_and_state_follows(play_anywhere: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app(partitions=2)
        await cluster.run_to_end(app)
        async with cluster.running(app, "w0") as first:
            cluster.send("words", *words("a", "b", "c", "d"))
            await eventually(lambda: len(cluster.values("counted")) == 4)
            async with cluster.running(app, "w1") as second:
                await eventually(lambda: _tasks(first) == 1 and _tasks(second) == 1)
                cluster.send("words", *words("a", "b", "c", "d"))
                await eventually(lambda: len(cluster.values("counted")) == 8)
                shares = [_sample(worker, "ottla_events_total") or 0 for worker in (first, second)]
                assert shares[0] > 4
                assert shares[1] > 0
                assert sum(shares) == 8
            await eventually(lambda: _tasks(first) == 2)
            cluster.send("words", *words("a", "b", "c", "d"))
            await eventually(lambda: len(cluster.values("counted")) == 12)
        assert cluster.latest("counted") == dict.fromkeys("abcd", "3")

    play_anywhere(scenario)


def _sample(worker: worker_module.Worker, name: str) -> float | None:
    return worker.metrics.registry.get_sample_value(name, APP)


def _tasks(worker: worker_module.Worker) -> float | None:
    return _sample(worker, "ottla_tasks")


def test_a_bounded_run_ends_what_it_writes_itself_before_what_reads_it(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("chained")
        first = app.topic("first", key=str, value=int, partitions=2)
        second = app.topic("second", key=str, value=int, partitions=2)
        app.stream(first).window(ottla.tumbling(hours=1)).aggregate("hourly", total=ottla.sum("real")).map(
            lambda windowed: windowed.value.total
        ).to(second)
        (
            app.stream(second)
            .window(ottla.tumbling(hours=2))
            .aggregate("twice", total=ottla.sum("real"))
            .map(lambda windowed: {"key": windowed.key, "total": windowed.value.total})
            .to(app.topic("totals", key=str, value=dict[str, Any], partitions=1))
        )
        await cluster.run_to_end(app)
        cluster.send("first", ("a", "1"), ("a", "2"), ("b", "5"))
        await cluster.run_to_end(app)
        assert sorted(cluster.values("totals")) == ['{"key":"a","total":3}', '{"key":"b","total":5}']

    play_anywhere(scenario)


def test_an_input_that_is_held_back_is_paused_and_taken_later(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_module, "_BUFFERED_HIGH", 4)
    monkeypatch.setattr(workload_module, "_BUFFERED_LOW", 2)
    monkeypatch.setattr("ottla.worker.pace.FIRST_POLL_MESSAGES", 5)

    async def scenario(cluster: Any) -> None:
        app = ottla.App("joining")
        left = app.topic("left", key=str, value=int, partitions=1)
        right = app.topic("right", key=str, value=int, partitions=1)
        joined = app.topic("joined", key=str, value=int, partitions=1)
        table = app.Table("table", source=right)
        app.stream(left).join(table, lambda one, other: one + other).to(joined)
        await cluster.run_to_end(app)
        cluster.send("right", *[("k", str(number)) for number in range(100)], at_ms=2_000)
        cluster.send("left", *[("k", str(number)) for number in range(50)], at_ms=2_100)
        worker = cluster.worker(app, until_end=True)
        summary = await worker.run()
        assert summary.events == 150
        assert cluster.values("joined") == [str(number + 99) for number in range(50)]

    play(scenario)


def test_topics_are_created_with_the_declared_partitions(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(counting_app(partitions=3))
        assert {name: len(logs) for name, logs in cluster.broker.topics.items()} == {
            "words": 3,
            "counted": 1,
            "counting-counts-changelog": 3,
            "counting-stores": 1,
            "counting-dead-letter": 1,
            "counting-assignment": 1,
            "counting-replies": 8,
        }
        assert cluster.broker.configs["counting-counts-changelog"] == {"cleanup.policy": "compact", **ANY_TIME}

    play(scenario)


def test_a_topic_with_another_partition_count_is_refused(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(counting_app(partitions=3))
        with pytest.raises(ottla.TopologyError, match=r"'words' has 3 partitions but the app needs 2"):
            await cluster.run_to_end(counting_app(partitions=2))

    play_anywhere(scenario)


def test_a_topic_that_nobody_created_is_refused_by_name(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("lacking")
        app.stream(app.topic("input", key=str, value=str)).to(app.topic("output", key=str, value=str, partitions=1))
        with pytest.raises(ottla.TopologyError, match="topic 'input' does not exist"):
            await cluster.run_to_end(app)

    play_anywhere(scenario)


def test_what_the_broker_refuses_reaches_the_caller(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        cluster.send("words", *words("a"))
        cluster.broker.fail_next_commits("words", TransportError("the broker did not answer within 60 s"))
        with pytest.raises(TransportError, match="did not answer"):
            await cluster.run_to_end(app)

    play(scenario)


def test_a_full_cache_commits_before_the_interval_is_over(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottla.state.budget.LEAST_ENTRIES", 10)

    async def scenario(cluster: Any) -> None:
        app = counting_app()
        app.config = type(app.config)("counting", commit_interval_ms=60_000, state_cache_bytes=0)
        await cluster.run_to_end(app)
        async with cluster.running(app):
            cluster.send("words", *words(*(f"word-{number}" for number in range(15))))
            await eventually(lambda: len(cluster.values("counted")) == 15)

    play(scenario)


def test_the_lag_is_what_is_not_committed(play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_module, "_LAG_INTERVAL_S", 0.0)

    async def scenario(cluster: Any) -> None:
        app = counting_app()
        await cluster.run_to_end(app)
        labels = {**APP, "topic": "words", "partition": "0"}
        async with cluster.running(app) as worker:
            cluster.send("words", *words("a", "b"))
            await eventually(lambda: worker.metrics.registry.get_sample_value("ottla_lag_records", labels) == 0)
            assert _sample(worker, "ottla_commit_seconds_count") == 1

    play(scenario)


def test_what_an_agent_yields_is_committed_with_its_input(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("yielding")
        numbers = app.topic("numbers", key=str, value=int, partitions=1)

        @app.agent(numbers)
        async def odd(numbers: ottla.Stream[int]) -> AsyncIterator[int]:
            async for number in numbers:
                if number % 2:
                    yield number

        app.stream(odd).to(app.topic("odd-numbers", key=str, value=int, partitions=1))
        await cluster.run_to_end(app)
        cluster.send("numbers", *[("k", str(number)) for number in range(5)])
        await cluster.run_to_end(app)
        assert cluster.values("odd-numbers") == ["1", "3"]

    play(scenario)
