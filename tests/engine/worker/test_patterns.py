"""A worker whose app reads topics by pattern, while topics appear."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import ottla
from ottla.state.memory import MemoryStores
from ottla.topology.patterns import resolved
from ottla.transport.contract import TopicSpec
from ottla.transport.memory import MemoryTransport
from ottla.worker import topic_watch
from ottla.worker.launch import run_worker
from ottla.worker.worker import Worker

Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


def logging_app() -> ottla.App:
    app = ottla.App("logging", commit_interval=0.01)
    logs = app.topic(pattern="logs-.+", key=str, value=str)
    app.stream(logs).map(str.upper, type=str).to(app.topic("out", key=str, value=str, partitions=1))
    return app


def test_it_ends_to_begin_anew_when_a_topic_appears_and_keeps_its_place(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_watch, "_INTERVAL_S", 0.01)
    app = logging_app()

    async def scenario(cluster: Any) -> None:
        stores = MemoryStores()

        def worker() -> Worker:
            counts = {topic: len(partitions) for topic, partitions in cluster.broker.topics.items()}
            transport = MemoryTransport(cluster.broker, app.id, "w0")
            return Worker(resolved(app.topology, counts), app.config, transport, stores)

        read: list[str] = []
        for number, topic in enumerate(("logs-a", "logs-b", "logs-c")):
            running = worker()
            run = asyncio.create_task(running.run())
            await eventually(lambda: cluster.values("out") == read if read else True)
            cluster.broker.create_topic(TopicSpec(topic, 2))
            await run
            assert running.outdated
            assert list(cluster.broker.groups[app.id].members) == ["w0"]
            cluster.send(topic, ("k", topic), partition=number % 2)
            read.append(topic.upper())

    play(scenario)


def values_of(broker: str, topic: str) -> Iterator[str]:
    """The committed values of a topic, as they come."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        until = time.monotonic() + 200
        while time.monotonic() < until:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                yield (message.value() or b"").decode()
    finally:
        consumer.close()


def test_over_kafka_it_goes_on_in_one_process(
    ottla_broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_watch, "_INTERVAL_S", 0.1)
    app = logging_app()
    config = replace(app.config, broker=ottla_broker, state_dir=tmp_path, store="memory")
    bootstrap = ottla_broker.removeprefix("kafka://")
    seen: list[str] = []

    def others() -> None:
        """Creates topics and writes to them, each when the one before was read, and ends the worker."""
        admin, producer = AdminClient({"bootstrap.servers": bootstrap}), Producer({"bootstrap.servers": bootstrap})
        try:
            for topic, partitions in (("logs-a", 1), ("logs-b", 2)):
                admin.create_topics([NewTopic(topic, partitions)])[topic].result(100)
                producer.produce(topic, topic.encode(), "k", partitions - 1)
                producer.flush(100)
            for value in values_of(bootstrap, "out"):
                seen.append(value)
                if len(seen) == 2:
                    admin.create_topics([NewTopic("logs-c", 1)])["logs-c"].result(100)
                    producer.produce("logs-c", b"logs-c", "k")
                    producer.flush(100)
                if len(seen) == 3:
                    return
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    beside = threading.Thread(target=others)
    beside.start()
    run_worker(app.topology, config, jobs=app.jobs)
    beside.join()
    assert (sorted(seen[:2]), seen[2:]) == (["LOGS-A", "LOGS-B"], ["LOGS-C"])
