"""Global tables of a worker: loaded before anything is processed, kept up to date, and exact after a restart."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ottla
from ottla.state.rocks import RocksStores
from ottla.transport.contract import OutputRecord, TopicPartition, TopicSpec
from ottla.transport.errors import TransportError
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.transport.memory import MemoryFollower, MemoryTransport
from ottla.worker.embedded import serving
from ottla.worker.worker import Worker

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]


def greeting_app() -> ottla.App:
    """Writes a greeting for each visit, in the visitor's language."""
    app = ottla.App("greeting", commit_interval=timedelta(milliseconds=10))
    visits = app.topic("visits", key=str, value=str, partitions=2)
    words = app.GlobalTable("words", source=app.topic("words", key=str, value=str, partitions=3))
    said = app.topic("said", key=str, value=str, partitions=1)
    app.stream(visits).left_join(words, lambda language, word: f"{language}:{word}", key=str).to(said)
    return app


def test_every_worker_has_all_of_a_global_table_before_its_first_event(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = greeting_app()
        await cluster.run_to_end(app)
        for number, pair in enumerate([("en", "hello"), ("fr", "salut"), ("de", "hallo")]):
            cluster.send("words", pair, partition=number)
        cluster.send("visits", ("a", "en"), ("b", "fr"), partition=0)
        cluster.send("visits", ("c", "de"), partition=1)
        await cluster.run_to_end(app, "another")
        assert sorted(cluster.values("said")) == ["de:hallo", "en:hello", "fr:salut"]

    play_anywhere(scenario)


def test_a_global_table_follows_its_topic_while_the_worker_runs(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = greeting_app()
        async with cluster.running(app):
            cluster_has = cluster.broker.topics
            await eventually(lambda: "said" in cluster_has)
            for word in ("hello", "howdy"):
                before = len(cluster.values("said"))
                cluster.send("words", ("en", word), partition=1)
                # Nothing says when the worker has seen it: visits go on until one is greeted so.
                while f"en:{word}" not in cluster.values("said"):
                    cluster.send("visits", ("a", "en"))
                    await asyncio.sleep(0.01)
                assert len(cluster.values("said")) > before

    play(scenario)


def test_a_restarted_worker_reads_only_what_came_since(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cluster: Any) -> None:
        app = greeting_app()
        await cluster.run_to_end(app)
        cluster.send("words", ("en", "hello"), ("fr", "salut"), partition=0)
        await cluster.run_to_end(app)
        cluster.send("words", ("en", "howdy"), partition=0)
        cluster.send("visits", ("a", "en"), ("a", "fr"))
        read: list[Any] = []
        original = MemoryTransport.read

        def noted(self: MemoryTransport, ranges: Any) -> AsyncIterator[Any]:
            read.append({where.partition: tuple(each) for where, each in ranges.items() if where.topic == "words"})
            return original(self, ranges)

        monkeypatch.setattr(MemoryTransport, "read", noted)
        await cluster.run_to_end(app)
        assert read[0][0] == (2, 3)
        assert sorted(cluster.values("said")) == ["en:howdy", "fr:salut"]

    play(scenario)


def test_a_copy_that_its_topic_does_not_know_any_more_is_read_anew(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = greeting_app()
        await cluster.run_to_end(app)
        cluster.send("words", ("en", "hello"), ("fr", "salut"), partition=0)
        await cluster.run_to_end(app)
        del cluster.broker.topics["words"]
        cluster.broker.create_topic(TopicSpec("words", 3))
        cluster.send("words", ("en", "howdy"), partition=0)
        cluster.send("visits", ("a", "en"), ("b", "fr"))
        await cluster.run_to_end(app)
        assert sorted(cluster.values("said")) == ["en:howdy", "fr:None"]

    play(scenario)


def test_a_worker_ends_when_it_cannot_follow(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Any, timeout_s: float) -> Any:  # noqa: ARG001
        raise TransportError("the topic went away")

    monkeypatch.setattr(MemoryFollower, "poll", broken)

    async def scenario(cluster: Any) -> None:
        with pytest.raises(TransportError, match="the topic went away"):
            await cluster.worker(greeting_app()).run()

    play(scenario)


def polling_app() -> ottla.App:
    """Counts votes in a global table, each partition its own; says of any of them how many it has."""
    app = ottla.App("polling", commit_interval=timedelta(milliseconds=10))
    counts = app.GlobalTable("counts", key=str, value=int, default=int)

    @app.agent(app.topic("votes", key=str, value=str, partitions=4), uses=[counts])
    async def count(votes: ottla.Stream[str]) -> None:
        async for event in votes.events():
            counts[event.key] += 1

    asked = app.topic("asked", key=str, value=str, partitions=1)
    app.stream(asked).left_join(counts, lambda choice, n: f"{choice}:{n}", key=str).to(app.topic("said", key=str))
    return app


def test_what_the_tasks_of_all_workers_write_is_read_by_each(play_anywhere: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = polling_app()
        cluster.broker.create_topic(TopicSpec("said", 1))
        async with cluster.running(app), cluster.running(app, "w1"):
            choices = [f"c{number}" for number in range(8)]
            await eventually(lambda: "votes" in cluster.broker.topics)
            cluster.send("votes", *((choice, "v") for choice in choices * 3))

            # Nothing says when the worker that is asked has heard of it all.
            said: set[str] = set()
            while not said >= {f'"{choice}:3"' for choice in choices}:
                cluster.send("asked", *(("any", choice) for choice in choices))
                await asyncio.sleep(0.05)
                said = set(cluster.values("said"))

    play_anywhere(scenario)


def test_what_agents_wrote_is_there_after_a_restart(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = polling_app()
        cluster.broker.create_topic(TopicSpec("said", 1))
        await cluster.run_to_end(app)
        cluster.send("votes", *((choice, "v") for choice in ("a", "b", "c", "a")))
        await cluster.run_to_end(app)
        cluster.send("votes", ("a", "v"))
        await cluster.run_to_end(app)
        cluster.send("asked", *(("any", choice) for choice in "abcd"))
        await cluster.run_to_end(app, "another")
        assert sorted(cluster.values("said")) == ['"a:3"', '"b:1"', '"c:1"', '"d:None"']

    play_anywhere(scenario)


def test_two_tables_of_one_topic_are_followed(play_anywhere: Play) -> None:
    """One as it is, and one of what a function makes of its records."""

    async def scenario(cluster: Any) -> None:
        app = ottla.App("words", commit_interval=timedelta(milliseconds=10))
        words = app.topic("words", key=str, value=str, partitions=3)
        plain = app.GlobalTable("plain", source=words)
        backwards = app.GlobalTable(
            "backwards", source=words, entries=lambda key, word: {word: key}, key=str, value=str
        )
        asked = app.stream(app.topic("asked", key=str, value=str, partitions=1))
        said = app.topic("said", key=str, value=str)
        asked.left_join(plain, lambda word, found: f"{word}>{found}", key=str, type=str).to(said)
        asked.left_join(backwards, lambda word, found: f"{word}<{found}", key=str, type=str).to(said)
        cluster.broker.create_topic(TopicSpec("said", 1))
        await cluster.run_to_end(app)
        cluster.send("words", ("en", "hello"), partition=0)
        async with cluster.running(app):
            cluster.send("words", ("fr", "salut"), ("de", "hallo"), partition=1)
            cluster.send("words", ("en", "howdy"), partition=0)
            while not set(cluster.values("said")) >= {"en>howdy", "howdy<en", "salut<fr", "hello<None"}:
                cluster.send("asked", *(("any", word) for word in ("en", "howdy", "salut", "hello")))
                await asyncio.sleep(0.05)

    play_anywhere(scenario)


async def within(seconds: float, scenario: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(seconds):
        await scenario


def test_on_a_broker_a_global_table_is_whole_and_follows(tmp_path: Path) -> None:
    """The same over Kafka's protocol and with RocksDB: two workers, each with half of the visits."""
    app = greeting_app()
    now_ms = int(time.time() * 1000)

    async def produce(transport: KafkaTransport, topic: str, *pairs: tuple[str, str]) -> None:
        await transport.produce([OutputRecord(topic, key.encode(), value.encode(), now_ms) for key, value in pairs])
        await transport.commit({})

    async def said(transport: KafkaTransport) -> list[str]:
        where = TopicPartition("said", 0)
        ranges = await transport.offset_ranges([where])
        found = [message async for batch in transport.read(ranges) for message in batch[where]]
        return [(message.value() or b"").decode() for message in found]

    async def scenario(bootstrap: str) -> None:
        outside = KafkaTransport(KafkaSettings(bootstrap, "outside", "outside", exactly_once=False))
        await outside.start()
        topics = [TopicSpec(name, count) for name, count in (("visits", 2), ("words", 3), ("said", 1))]
        await outside.create_topics(topics)
        await produce(outside, "words", ("en", "hello"), ("fr", "salut"), ("de", "hallo"))
        workers = []
        for number in range(2):
            stores = RocksStores(tmp_path / f"w{number}")
            settings = KafkaSettings(bootstrap, app.id, f"w{number}", session_timeout_ms=6_000)
            workers.append((Worker(app.topology, app.config, KafkaTransport(settings), stores), stores))
        runs = [asyncio.create_task(worker.run()) for worker, _ in workers]

        def check() -> None:
            """Raises what a worker ended with: nobody else would ever write what is waited for."""
            for run in runs:
                assert not run.done() or run.result() is None

        try:
            languages = ("en", "fr", "de")
            await produce(
                outside, "visits", *((f"{language}{n}", language) for language in languages for n in range(4))
            )
            while len(greeted := await said(outside)) < 12:
                check()
                await asyncio.sleep(0.05)
            assert set(greeted) == {"en:hello", "fr:salut", "de:hallo"}
            await produce(outside, "words", ("fr", "bonjour"))
            for visit in range(200):
                check()
                await produce(outside, "visits", (f"late{visit}", "fr"))
                if "fr:bonjour" in await said(outside):
                    break
                await asyncio.sleep(0.05)
            assert "fr:bonjour" in await said(outside)
        finally:
            for worker, _ in workers:
                worker.stop()
            await asyncio.gather(*runs)
            for _, stores in workers:
                stores.close()
            await outside.stop()

    with serving(f"embedded://{tmp_path / 'broker'}") as bootstrap:
        asyncio.run(within(60, scenario(bootstrap)))
